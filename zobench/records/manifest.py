"""The manifest of a run: its config, data, software versions and run status."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zobench.config import RunConfig, config_from_json
from zobench.contracts.dataset import DatasetSpec
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.optimizer import Feedback
from zobench.contracts.run_status import RunStatus
from zobench.errors import DamagedError, ModelChanged, NotARunError, StoreError
from zobench.files.atomic import CONTENT_ERRORS, damage
from zobench.files.json_files import Json, json_content, parsed_json
from zobench.files.location import Location

from .layout import MANIFEST, SCHEMA, meant_below, require_no_links, run_folders


def _rates(shares: Sequence[float], groups: Sequence[str]) -> str:
    return " and ".join(
        f"{share:.0%} of {group}" for share, group in zip(shares, groups, strict=True)
    )


@dataclass(frozen=True)
class SplitRecord:
    """The split of a run, as results show it: sizes and digest.

    Attributes:
        digest: Identifies the rows.
        train: The number of training images.
        test: The number of test images.
        test_patients: The number of patients in the test images.
        train_positive_rate: Share of positives among the training images of each group.
        bias: The bias of the training images: ``as-is`` or ``amplified``.
        dataset_positive_rate: Share of positives among all images of each group.
    """

    digest: str
    train: int = 0
    test: int = 0
    test_patients: int = 0
    train_positive_rate: tuple[float, ...] = ()
    bias: str = ""
    dataset_positive_rate: tuple[float, ...] = ()

    def described(self, groups: Sequence[str]) -> str:
        """The number of training images, their bias and their rates, in words."""
        if not self.bias:
            return f"{self.train:,} training images"
        shares = _rates(self.train_positive_rate, groups)
        if self.bias == "as-is":
            return f"{self.train:,} training images, biased as the data are ({shares} positive)"
        own = _rates(self.dataset_positive_rate, groups)
        return f"{self.train:,} training images, {self.bias} bias ({shares} positive; in the data {own})"


CUTS = ("max_cost", "max_time")
"""Limits that end a run before its budget, and that can be raised afterwards."""


@dataclass(frozen=True)
class Manifest:
    """The record of a run, without its trace, edits and scores.

    Attributes:
        config: The config of the run.
        parameters: Parameters that can change the result by owner, defaults included.
        feedback: The feedback level that the optimizer declares.
        encoder: The spec of the encoder.
        dataset: The spec of the dataset.
        split: The digest and sizes of the split.
        plugins: Distribution of each plugin, by owner.
        versions: Versions of Python, zobench, plugins and libraries.
        machine: Platform, cores and processor.
        git_revision: Revision of the source tree; empty where zobench is installed.
        created: When the run began, in UTC.
        run_id: Name of the run folder.
        status: The run status.
        resumed: The number of times the run was resumed.
        recorded: Whether all answers are kept.
        wall_seconds: Total wall time of the run.
        encoder_seconds: Time spent inside the encoder.
        ledger: Counts by purpose when the run ended.
        reused: Results that were taken over from other runs.
        ended_by: The limit that ended the optimizer: ``budget``, ``max_cost``, ``max_time`` or
            ``until``.
        extended: For each time that the finished run was extended, the ``queries`` after which it had
            ended, and its ``budget`` until then.
        local: The spec of the encoder that the optimizer borrows; ``None`` for none.
        error: The error that ended the run; ``None`` if none did.
        summary: Fairness per query, recovery and metrics of a finished run, for the last snapshot.
        files: Checksums of the run's files by name, from the end of its last process; empty while a
            process goes on.
        schema: Version of the layout.
    """

    config: RunConfig
    parameters: Mapping[str, Mapping[str, Any]]
    feedback: Feedback
    encoder: EncoderSpec
    dataset: DatasetSpec
    split: SplitRecord
    plugins: Mapping[str, str]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    git_revision: str
    created: str
    run_id: str = ""
    status: RunStatus = RunStatus.RUNNING
    resumed: int = 0
    recorded: bool = False
    wall_seconds: float = 0.0
    encoder_seconds: float = 0.0
    ledger: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    reused: Sequence[str] = ()
    ended_by: str = ""
    extended: Sequence[Mapping[str, int]] = ()
    local: EncoderSpec | None = None
    error: str | None = None
    summary: Mapping[str, float | None] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def cut_by(self) -> str:
        """The limit of time or cost that ended the optimizer before its budget; empty if none did."""
        return self.ended_by if self.ended_by in CUTS else ""

    @property
    def resumable(self) -> bool:
        """Whether a run that is not done can go on: not where the model of its service has changed."""
        return not (self.error or "").startswith(f"{ModelChanged.__name__}:")

    @property
    def times_scored(self) -> int:
        """How often as many edits are scored as the config says: once more with each extension."""
        return 1 + len(self.extended)

    def changed(self, **fields: Any) -> Manifest:
        """The same manifest with other values of these fields."""
        return dataclasses.replace(self, **fields)

    def as_json(self) -> Json:
        """The manifest as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Manifest:
        """The manifest in a JSON object; fields that this version does not know are left out.

        Raises:
            KeyError: A field that describes the run is missing.
            ConfigError: The config has an unknown field.
        """
        names = {declared.name for declared in dataclasses.fields(cls)} & values.keys()
        fields = {name: values[name] for name in names}
        return cls(
            **{
                **fields,
                "config": config_from_json(values["config"]),
                "encoder": _record(EncoderSpec, values["encoder"]),
                "local": _record(EncoderSpec, values["local"]) if values.get("local") else None,
                "dataset": _record(DatasetSpec, values["dataset"]),
                "split": _record(SplitRecord, values["split"]),
                "status": RunStatus(values["status"]),
            }
        )


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of a run folder.

    Raises:
        NotARunError: The folder is not a run folder.
        DamagedError: The manifest is damaged.
        StoreError: The manifest was written by another version of zobench, or is a link.
    """
    place = Location.of(folder) / MANIFEST
    if not place.path.is_file():
        exists = "it is a file" if os.path.exists(folder) else "there is no such folder"
        lack = f"it has no {MANIFEST}" if os.path.isdir(folder) else exists
        fix = f"name a run folder{meant_below(folder)}"
        if below := len(run_folders(folder)):
            shown = f"zobench show {shlex.quote(str(folder))}"
            runs = "1 run" if below == 1 else f"{below:,} runs"
            fix = f"it holds {runs}; name one of those that {shown} lists"
        raise NotARunError(f"{folder} is not a run folder: {lack}; {fix}")
    require_no_links(folder)
    content = json_content(place)
    try:
        values = parsed_json(place, content)
    except DamagedError:
        _require_schema(place, _without_checksum(content))
        raise
    _require_schema(place, values)
    with damage(place):
        return Manifest.from_json(values)


def _without_checksum(content: bytes) -> Any:
    """The value of a manifest of schema 2, which had no checksum; ``None`` if it is no JSON."""
    try:
        return json.loads(content)
    except CONTENT_ERRORS:
        return None


def _require_schema(place: Location, values: Any) -> None:
    """Raises a :class:`StoreError` for a manifest of another version of the layout."""
    schema = values.get("schema") if isinstance(values, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        written, advice = (
            ("a newer", "upgrade zobench to read it")
            if schema > SCHEMA
            else ("an older", "read it with that version, or run it anew")
        )
        raise StoreError(
            f"{place} was written by {written} zobench (schema {schema}; this one reads {SCHEMA}); "
            f"{advice}"
        )


def _record(kind: Any, values: Mapping[str, Any]) -> Any:
    """A frozen record from JSON: lists become tuples, and unknown fields are left out."""
    names = {declared.name for declared in dataclasses.fields(kind)} & values.keys()
    plain = {name: values[name] for name in names}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})
