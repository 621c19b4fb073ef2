"""A no-query baseline of stored runs, as one side of a comparison."""

from __future__ import annotations

from zobench.contracts.metric import Metric
from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError
from zobench.files.location import Location
from zobench.measures.interval import Floats
from zobench.measures.recovery import BEYOND_PLACEBO
from zobench.records.run_search import meant_label, read_runs
from zobench.records.selection import ANY, Choice
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry

PREFIX = "method:"


class BaselineRun(StoredRun):
    """The no-query baseline of a run, in the place of its optimizer."""

    def __init__(self, run: StoredRun, method: str, registry: Registry) -> None:
        super().__init__(run.location, registry)
        self._method = method

    @property
    def label(self) -> str:
        """The method's name in tables."""
        return f"{PREFIX}{self._method}"

    @property
    def feedback(self) -> str:
        """A baseline sends no query."""
        return "no query"

    @property
    def quantities(self) -> tuple[Metric, ...]:
        """All quantities of the run but beyond placebo: a baseline has no edit."""
        return tuple(quantity for quantity in super().quantities if quantity is not BEYOND_PLACEBO)

    def values(self, quantity: Metric, *, row: int = -1, alone: bool = False) -> Floats:
        """Signed values ``(R + 1,)`` of one quantity: the test data first, then the resamples.

        Raises:
            ConfigError: The run has no scores.
        """
        results = self.require_results() if alone else self.require_results().for_means
        return results.baseline_values(self._method, quantity)


def read_side(
    place: Location, label: str | None, registry: Registry, choice: Choice = ANY
) -> list[StoredRun]:
    """The runs of an optimizer at a location, or the no-query baseline of every run there.

    Args:
        place: A run folder, or a folder of runs.
        label: Label of the optimizer, or ``method:NAME``; all optimizers if ``None``.
        registry: The plugins whose metrics are shown.
        choice: Which runs are meant; of a baseline, the runs that it belongs to.

    Raises:
        ConfigError: No run has the label or the baseline, or none is meant.
        StoreError: The location holds no run, or a run is damaged.
    """
    runs = choice.of(read_runs([place], registry))
    if label is None:
        return runs
    if not label.startswith(PREFIX):
        meant = meant_label(label, sorted({run.label for run in runs}))
        return [run for run in runs if run.label == meant]
    method, names = label.removeprefix(PREFIX), set[str]()
    baselines: list[StoredRun] = []
    for run in runs:
        scores = run.files.scores
        names.update(scores.baselines if scores is not None else ())
        if scores is not None and method in scores.baselines:
            baselines.append(BaselineRun(run, method, registry))
    if not baselines:
        there = ", ".join(sorted(names)) or "none"
        raise ConfigError(
            f"no run at {place} has the no-query baseline {method!r}{nearest(method, names)}; there are "
            f"{there}. To have another one, run with --baselines"
        )
    return baselines
