"""A stored run, for all readers of a run folder; each part is read on first access."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.billing.bill import BILL, Bill, read_bill
from zobench.config import RunConfig
from zobench.contracts.metric import Metric
from zobench.contracts.purpose import Purpose
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError, StoreError, ZobenchError
from zobench.files.atomic import damage, damaged, missing
from zobench.files.json_files import Json
from zobench.files.location import Location
from zobench.files.regular import require_no_link
from zobench.files.row_files import read_rows
from zobench.measures.interval import Interval, interval
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY, reaches
from zobench.oracle.ledger import Counts, Ledger
from zobench.registry.discovery import Registry, load_registry

from . import layout, views
from .checkpoint import read_checkpoint
from .curve_json import curve_controls, curve_rows
from .identity import label, problem
from .inventory import require_stored
from .manifest import Manifest, read_manifest
from .results import Results
from .run_folder import StoredScores, StoredSetup, read_edit, read_scores, read_setup
from .score_rows import Score
from .verdict import Verdict, verdict

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from torch import Tensor

Floats = NDArray[np.float64]


class StoredRun:
    """A run folder, finished or not.

    Each part of the folder is read on first access and only once. To see the progress of a run
    that goes on, make a new object.

    Attributes:
        location: The folder.
    """

    def __init__(self, place: str | os.PathLike[str], registry: Registry | None = None) -> None:
        """Remembers the folder; reads no file.

        Args:
            place: The run folder.
            registry: The plugins whose metrics are shown; the installed ones if ``None``.
        """
        self.location = Location.of(place)
        self._registry = registry

    def __repr__(self) -> str:
        """The run in one line."""
        try:
            return views.short(self)
        except ZobenchError as error:
            return f"<run at {self.location}: {error}>"

    def _repr_html_(self) -> str | None:
        try:
            return views.html(self)
        except ZobenchError:
            return None  # the text says what is wrong

    def to_frame(self) -> pandas.DataFrame:
        """One row a classifier of the table, with every metric and its 95 % interval."""
        return views.frame(self)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws recovery over queries into axes of matplotlib, new ones if ``None``.

        Raises:
            ValueError: No edit is scored yet.
        """
        return views.plot(self, axes)

    @property
    def run_id(self) -> str:
        """The name of the folder."""
        return self.location.name

    @property
    def run_dir(self) -> Path:
        """The folder on this machine."""
        return self.location.path

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the run.

        Raises:
            NotARunError: The folder is not a run folder.
            StoreError: The manifest is damaged, or was written by a newer zobench.
        """
        return read_manifest(self.location)

    @property
    def config(self) -> RunConfig:
        """The config of the run."""
        return self.manifest.config

    @property
    def status(self) -> RunStatus:
        """The run status."""
        return self.manifest.status

    @property
    def done(self) -> bool:
        """Whether the run is done: all its edits are scored."""
        return self.status is RunStatus.DONE

    @property
    def label(self) -> str:
        """The optimizer's name in tables."""
        return label(self.config, self.manifest.parameters)

    @property
    def problem(self) -> str:
        """The problem's name in tables."""
        return problem(self.config, self.manifest.parameters)

    @property
    def wall_seconds(self) -> float:
        """Total wall time of the run."""
        return self.manifest.wall_seconds

    @property
    def encoder_seconds(self) -> float:
        """Time spent inside the encoder."""
        return self.manifest.encoder_seconds

    @cached_property
    def trace(self) -> list[Json]:
        """The trace, one row per tell: queries, evaluations, values.

        Raises:
            DamagedError: The trace is damaged, or lacks rows that were stored.
        """
        place, checkpoint = self.location / layout.TRACE, self.location / layout.CHECKPOINT
        state = None
        if not self.done and checkpoint.path.exists():
            with suppress(FileNotFoundError):  # the run may end meanwhile
                state = read_checkpoint(checkpoint)
        self._require(layout.TRACE)
        stored = read_rows(place)
        if state is not None:
            count, end = state.rows[layout.TRACE]
            if len(stored.rows) < count or (count and stored.ends[count - 1] != end):
                raise damaged(place, f"its rows are not the {count} that the checkpoint covers")
        return stored.rows

    def require_whole(self) -> None:
        """Compares all files with the checksums in the manifest.

        The checkpoint of a finished run may be missing: it may be deleted, as nothing is read from it.

        Raises:
            DamagedError: A file is damaged, or missing although it was stored.
        """
        for name in self.manifest.files:
            if self.done and name == str(layout.CHECKPOINT) and not (self.run_dir / name).exists():
                continue
            self._require(name)

    def _require(self, name: str) -> None:
        """Compares a file with the checksum in the manifest, if the manifest has one."""
        require_stored(self.location, self.manifest.files, name)

    @cached_property
    def ledger(self) -> Mapping[str, Mapping[str, int]]:
        """Counts by purpose; for a run that is not done, computed from the files in its folder."""
        if self.done:
            return self.manifest.ledger
        ledger = Ledger(self.config.backward_cost)
        if (setup := self.setup) is not None:
            ledger.put(Purpose.SETUP, setup.counts)
        if self.trace:
            with damage(self.location / layout.TRACE):
                last = {each.name: self.trace[-1][each.name] for each in fields(Counts)}
            ledger.put(Purpose.OPTIMIZE, last)
        if self.stored_scores is not None:
            ledger.put(Purpose.SCORE, self.stored_scores.counts)
        ledger.put(Purpose.LOCAL, self.manifest.ledger.get(Purpose.LOCAL, {}))
        return ledger.as_dict()

    @property
    def spent(self) -> int:
        """Queries that the optimizer has spent."""
        return self.ledger[Purpose.OPTIMIZE]["queries"]

    @cached_property
    def bill(self) -> Bill | None:
        """The bill of a rented encoder; ``None`` for an encoder that runs here.

        Raises:
            DamagedError: The bill is damaged, cut short or missing.
        """
        self._require(BILL)
        return read_bill(self.location, self.manifest.encoder.price)

    @property
    def setup(self) -> StoredSetup | None:
        """The embeddings of the clean training images; ``None`` before they are computed.

        Raises:
            DamagedError: The file is damaged, or missing although it was stored.
        """
        self._require(layout.SETUP)
        return read_setup(self.location)

    @property
    def snapshots(self) -> list[int]:
        """Query counts of the snapshots, increasing.

        Raises:
            DamagedError: A snapshot is missing although it was stored.
        """
        found = layout.snapshot_queries(self.run_dir)
        there = {layout.snapshot_name(each) for each in found}
        for name in self.manifest.files:
            if name.startswith(f"{layout.SNAPSHOTS}/") and name not in there:
                raise missing(self.location / name)
        return found

    @property
    def edit(self) -> NDArray[np.float32]:
        """The edit ``(H, W)`` to deploy: that of the last snapshot, in the range of a pixel.

        Raises:
            StoreError: There is no snapshot yet.
            DamagedError: The snapshot is damaged, or missing although it was stored.
        """
        if not self.snapshots:
            raise StoreError(f"{self.location} has no snapshot yet, so it has no edit")
        found: NDArray[np.float32] = self.edit_after(self.snapshots[-1])[0].numpy()
        return found

    def edit_after(self, queries: int) -> Tensor:
        """The edit ``(1, H, W)`` recommended after ``queries``.

        Raises:
            DamagedError: The snapshot is damaged, or missing although it was stored.
        """
        self._require(layout.snapshot_name(queries))
        return read_edit(self.location, queries)

    def picture(self, name: str) -> Path | None:
        """A picture of the last edit by its file name; ``None`` if there is none.

        Raises:
            DamagedError: The picture is damaged, or missing although it was stored.
        """
        self._require(name)
        path = self.run_dir / name
        require_no_link(path)
        return path if path.is_file() else None

    @cached_property
    def stored_scores(self) -> StoredScores | None:
        """The scores of the edits, before any statistics; ``None`` before the first one.

        Raises:
            DamagedError: The file is damaged, or missing although it was stored.
        """
        self._require(layout.SCORES)
        return read_scores(self.location)

    @property
    def registry(self) -> Registry:
        """The plugins whose metrics are shown.

        Raises:
            PluginError: A plugin is broken.
        """
        if self._registry is None:
            self._registry = load_registry()
        return self._registry

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics of all installed plugins.

        Raises:
            PluginError: A plugin is broken.
        """
        return self.registry.metrics

    @property
    def quantities(self) -> Sequence[Metric]:
        """Fairness per query, recovery, beyond placebo if one is scored, and every metric."""
        controlled = self.config.controls != "none"
        return (FPQ, RECOVERY, *((BEYOND_PLACEBO,) if controlled else ()), *self.metrics)

    @property
    def feedback(self) -> str:
        """The feedback level of the optimizer."""
        return self.manifest.feedback

    @cached_property
    def results(self) -> Results | None:
        """The scores with their statistics; ``None`` before the first score."""
        return self._results()

    @cached_property
    def on_the_data(self) -> Results | None:
        """The same on the test patients alone, without resamples; ``None`` before a score."""
        return self._results(replicates=0)

    def _results(self, replicates: int | None = None) -> Results | None:
        found, times = self.stored_scores, self.manifest.times_scored
        if found is None:
            return None
        return Results(found, self.config, self.metrics, replicates, times)

    @property
    def scores(self) -> tuple[Score, ...]:
        """ERM first, the last scored edit last; empty before scoring."""
        return () if self.results is None else self.results.scores

    @cached_property
    def fpq(self) -> Interval | None:
        """Fairness per query; ``None`` before everything is scored."""
        if not self.done or self.results is None:
            return None
        return interval([self.results.fpq], FPQ)

    @cached_property
    def verdict(self) -> Verdict:
        """What the run came to, in words, with the advice of the optimizer's plugin if it is there."""
        try:
            offer, _ = self.registry.find("optimizers", self.config.optimizer)
            advice = offer.plugin.advice
        except ConfigError:
            advice = ""
        return verdict(self.results, self.status, advice)

    @property
    def recovery(self) -> float | None:
        """Recovery of the last scored edit; ``None`` before one is scored."""
        return self.scores[-1].recovery.value if len(self.scores) > 1 else None

    def values(self, quantity: Metric, *, row: int = -1, alone: bool = False) -> Floats:
        """Signed values ``(R + 1,)`` of one quantity: the test data first, then the resamples.

        Args:
            quantity: Fairness per query, recovery or a metric.
            row: Row of the table: 0 is ERM, -1 the last scored edit.
            alone: Whether the values are for statistics of one seed; else for a mean over seeds.
                The resampled gaps differ, see :mod:`zobench.measures.recovery`.

        Raises:
            ValueError: The run has no scores.
        """
        if self.results is None:
            raise ValueError(f"{self.location} has no scores")
        found = self.results if alone else self.results.for_means
        return found.values(quantity, row)

    def point_values(self) -> dict[str, float | None]:
        """The last edit's value of each quantity; ``None`` for an infinite value."""
        found = self.on_the_data
        if found is None:
            return {}
        missing = () if found.beyond_placebo_values is not None else (BEYOND_PLACEBO,)
        shown = [each for each in self.quantities if each not in missing]
        values = {each.name: float(each.shown(found.values(each))[0]) for each in shown}
        return {name: value if np.isfinite(value) else None for name, value in values.items()}

    @property
    def known(self) -> int:
        """Queries up to which recovery is known: all of a done run, else to the end of the curve."""
        if self.done:
            return self.spent
        found = self.on_the_data
        return max((0, *found.queries)) if found is not None else 0

    @property
    def counts(self) -> bool:
        """Whether the run counts in runtimes: it is done or failed, or a snapshot is scored."""
        return self.status in (RunStatus.DONE, RunStatus.FAILED) or self.known > 0

    @property
    def charged(self) -> int:
        """Queries charged if the run misses a target: all spent queries if the run failed."""
        return self.spent if self.status is RunStatus.FAILED else self.known

    def reached(self, target: float) -> int | None:
        """Queries of the first snapshot of the curve with that recovery; ``None`` if there is none."""
        found = self.on_the_data
        if found is None:
            return None
        pairs = zip(found.queries, found.curve.recovery[1:, 0].tolist(), strict=True)
        return next((queries for queries, recovery in pairs if reaches(recovery, target)), None)

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON object; an infinite ratio is ``None``."""
        return {
            "run_id": self.run_id,
            "run_dir": str(self.location),
            "status": self.status,
            "error": self.manifest.error,
            "ended_by": self.manifest.ended_by,
            "extended": list(self.manifest.extended),
            "config": self.config.as_dict(),
            "ledger": self.ledger,
            "feedback": self.manifest.feedback,
            "objective_name": self.config.objective,
            "verdict": self.verdict.as_dict(),
            "scores": [score.as_dict() for score in self.scores],
            **self._more(),
            "recovery": self.recovery,
            "fpq": self.fpq.as_dict() if self.fpq is not None else None,
            "bill": self.bill.as_dict() if self.bill is not None else None,
            "wall_seconds": self.wall_seconds,
            "encoder_seconds": self.encoder_seconds,
        }

    def _more(self) -> dict[str, Any]:
        """Baselines, controls and the curve, as JSON objects."""
        found = self.results
        if found is None:
            return {"baselines": {}, "controls": {}, "with_reweighing": None, "curve": []}
        beyond = found.beyond_placebo
        controls: dict[str, Any] = {name: row.as_dict() for name, row in found.controls.items()}
        if beyond is not None:
            controls["beyond_placebo"] = beyond.as_dict()
        if self.config.controls == "all":
            controls["curve"] = curve_controls(found)
        return {
            "baselines": {
                name: {**row.as_dict(), "fpq": row.recovery.as_dict()}
                for name, row in found.baselines.items()
            },
            "controls": controls,
            "with_reweighing": None if found.combined is None else found.combined.as_dict(),
            "curve": curve_rows(found),
        }
