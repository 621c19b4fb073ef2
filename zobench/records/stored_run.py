"""A stored run, for all readers of runs: identity, edits, scores with their statistics, verdict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.billing.bill import Bill
from zobench.config import RunConfig
from zobench.contracts.metric import Metric
from zobench.contracts.purpose import Purpose
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError, StoreError, ZobenchError
from zobench.files.json_files import Json
from zobench.files.location import Location
from zobench.measures.interval import Interval, interval
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.registry.discovery import Registry, load_registry

from . import run_json, views
from .identity import label, problem
from .manifest import Manifest
from .results import Results
from .run_files import RunFiles
from .score_rows import Score
from .verdict import Verdict, verdict

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from torch import Tensor

Floats = NDArray[np.float64]


class StoredRun:
    """A run, finished or not: its files, with the statistics of its scores.

    What was read or computed stays as it was. To see the progress of a run that goes on, make a new
    object.

    Attributes:
        files: The files of the run folder.
    """

    def __init__(self, place: str | os.PathLike[str], registry: Registry | None = None) -> None:
        """Remembers the folder; reads no file.

        Args:
            place: The run folder.
            registry: The plugins whose metrics are shown; the installed ones if ``None``.
        """
        self.files = RunFiles(Location.of(place))
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
    def location(self) -> Location:
        """The run folder."""
        return self.files.location

    @property
    def run_id(self) -> str:
        """The name of the folder."""
        return self.location.name

    @property
    def run_dir(self) -> Path:
        """The folder on this machine."""
        return self.location.path

    @property
    def manifest(self) -> Manifest:
        """The manifest of the run.

        Raises:
            NotARunError: The folder is not a run folder.
            StoreError: The manifest is damaged, or was written by a newer zobench.
        """
        return self.files.manifest

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

    @property
    def trace(self) -> list[Json]:
        """The trace, one row per tell; see :attr:`RunFiles.trace`."""
        return self.files.trace

    @property
    def ledger(self) -> Mapping[str, Mapping[str, int]]:
        """Counts by purpose; see :attr:`RunFiles.ledger`."""
        return self.files.ledger

    @property
    def spent(self) -> int:
        """Queries that the optimizer has spent."""
        return self.ledger[Purpose.OPTIMIZE]["queries"]

    @property
    def bill(self) -> Bill | None:
        """The bill of a rented encoder; see :attr:`RunFiles.bill`."""
        return self.files.bill

    @property
    def snapshots(self) -> list[int]:
        """Query counts of the snapshots, increasing; see :attr:`RunFiles.snapshots`."""
        return self.files.snapshots

    def edit_after(self, queries: int) -> Tensor:
        """The edit ``(1, H, W)`` recommended after ``queries``; see :meth:`RunFiles.edit_after`."""
        return self.files.edit_after(queries)

    @property
    def edit(self) -> NDArray[np.float32]:
        """The edit ``(H, W)`` to deploy: that of the last snapshot, in the range of a pixel.

        Raises:
            StoreError: There is no snapshot yet.
            DamagedError: The snapshot is damaged, or missing although it was stored.
        """
        snapshots = self.snapshots
        if not snapshots:
            raise StoreError(f"{self.location} has no snapshot yet, so it has no edit")
        edit: NDArray[np.float32] = self.edit_after(snapshots[-1])[0].numpy()
        return edit

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
        scores, times = self.files.scores, self.manifest.times_scored
        if scores is None:
            return None
        return Results(scores, self.config, self.metrics, replicates, times)

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
            ConfigError: The run has no scores.
        """
        results = self.require_results() if alone else self.require_results().for_means
        return results.values(quantity, row)

    def require_results(self) -> Results:
        """The results.

        Raises:
            ConfigError: The run has none.
        """
        if self.results is None:
            raise ConfigError(
                f"{self.location} is {self.status} and has no scores; complete it with zobench resume"
            )
        return self.results

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON object; an infinite ratio is ``None``."""
        return run_json.as_json(self)
