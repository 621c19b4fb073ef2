"""The one line that a run comes down to, for lists of many runs.

A finished run keeps its own in the manifest, so that thousands are read in a moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from zobench.config import RunConfig, config_from_json
from zobench.errors import NotARunError

from . import run_folder as store
from .identity import label, problem
from .result import read_scores, resampled, stored_ledger

METRICS = ("eo_n", "eo_p", "di_gap_tpr", "accuracy")
VALUES = ("fpq", "recovery", *METRICS)


@dataclass(frozen=True)
class Headline:
    """A run in short.

    Attributes:
        folder: Where it lies.
        status: ``running``, ``interrupted``, ``failed`` or ``done``.
        problem: See :func:`zobench.records.identity.problem`.
        optimizer: See :func:`zobench.records.identity.label`.
        seed: Of the run.
        budget: Queries that it was given.
        spent: Queries that its optimizer has spent.
        values: FPQ, and what its last snapshot is worth; empty unless it is done.
    """

    folder: Path
    status: str
    problem: str
    optimizer: str
    seed: int
    budget: int
    spent: int
    values: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = {key: value for key, value in asdict(self).items() if key != "values"}
        return {**fields, "folder": str(self.folder), **self.values}


def point_values(folder: Path, config: RunConfig) -> dict[str, float | None]:
    """FPQ, and recovery and metrics of the last snapshot, without intervals; no infinite ones."""
    raws, test = read_scores(folder)
    found = resampled(raws, test, config, replicates=0, auc=False)
    last = {name: abs(float(found.metrics[name][-1, 0])) for name in METRICS}
    values = {"fpq": float(found.fpq[0]), "recovery": float(found.recovery[-1, 0]), **last}
    return {name: value if isfinite(value) else None for name, value in values.items()}


def read_headline(folder: Path) -> Headline:
    """A run in short, finished or not.

    Raises:
        StoreError: It is no run folder, is damaged, or was written by a newer zobench.
    """
    manifest = store.read_whole_manifest(folder)
    config = config_from_json(manifest["config"])
    values: Mapping[str, float | None] = {}
    if manifest["status"] == "done":
        values = manifest.get("headline") or point_values(folder, config)
    return Headline(
        folder=folder,
        status=manifest["status"],
        problem=problem(manifest["config"], manifest["parameters"]),
        optimizer=label(manifest["config"], manifest["parameters"]),
        seed=config.seed,
        budget=config.budget,
        spent=stored_ledger(folder, manifest, config)["optimize"]["queries"],
        values=values,
    )


def read_headlines(path: Path) -> Iterator[Headline]:
    """Of all runs right below a folder, in order; a run that vanishes meanwhile is left out.

    Raises:
        NotARunError: There are none.
        StoreError: A run is damaged.
    """
    folders = store.run_folders(path)
    if not folders:
        raise NotARunError(f"{path} is no run folder and holds none")
    for folder in folders:
        with suppress(NotARunError):
            yield read_headline(folder)
