"""The summary line of a run, for lists of many runs.

The manifest of a finished run holds these numbers, so thousands of runs are read quickly.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.errors import NotARunError, StoreError
from zobench.files.location import Location
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.registry.discovery import Registry

from .results import Results
from .run_search import find_runs
from .stored_run import StoredRun


@dataclass(frozen=True)
class SummaryLine:
    """A run in one line.

    Attributes:
        folder: The run folder.
        status: The run status.
        problem: The problem's name in tables; see :func:`zobench.records.identity.problem`.
        feedback: The feedback level of the optimizer.
        optimizer: The optimizer's name in tables; see :func:`zobench.records.identity.label`.
        seed: The run's seed.
        budget: Queries that the optimizer was given.
        spent: Queries that the optimizer has spent.
        resumable: Whether the run, if it is not done, can go on.
        values: Fairness per query, and the last snapshot's recovery and metrics; empty unless done.
    """

    folder: Location
    status: RunStatus
    problem: str
    feedback: str
    optimizer: str
    seed: int
    budget: int
    spent: int
    resumable: bool
    values: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """The line as a JSON object."""
        fields = {name: value for name, value in vars(self).items() if name != "values"}
        return {**fields, "folder": str(self.folder), **self.values}


def summary_line(run: StoredRun) -> SummaryLine:
    """The summary line of a run, finished or not.

    Raises:
        StoreError: The folder is no run folder, is damaged, or was written by a newer zobench.
    """
    return SummaryLine(
        folder=run.location,
        status=run.status,
        problem=run.problem,
        feedback=run.feedback,
        optimizer=run.label,
        seed=run.config.seed,
        budget=run.config.budget,
        spent=run.spent,
        resumable=run.manifest.resumable,
        values=_values(run) if run.done else {},
    )


def reference_lines(runs: Sequence[StoredRun]) -> list[SummaryLine]:
    """ERM and the no-query baselines, which optimizers are compared with: one line a problem and seed.

    The numbers are those on the test data; ERM has no FPQ and no recovery.

    Args:
        runs: Runs, of which those that are done count; each baseline is taken from the first that
            has it.
    """
    groups: dict[tuple[str, int], list[tuple[StoredRun, Results]]] = defaultdict(list)
    for run in runs:
        if run.done and run.on_the_data is not None:
            groups[run.problem, run.config.seed].append((run, run.on_the_data))
    lines = []
    for members in groups.values():
        run, results = members[0]
        line = replace(summary_line(run), spent=0)
        metrics = {
            metric.name: float(metric.shown(results.values(metric, 0))[0]) for metric in run.metrics
        }
        lines.append(replace(line, optimizer="ERM", values=metrics))
        having: dict[str, Results] = {}
        for _, member in members:
            having = {**dict.fromkeys(member.stored.baselines, member), **having}
        for name in having:
            values = {
                quantity.name: float(
                    quantity.shown(having[name].baseline_values(name, quantity))[0]
                )
                for quantity in (FPQ, RECOVERY, *run.metrics)
            }
            lines.append(replace(line, optimizer=name, values=values))
    return lines


def summary_values(run: StoredRun) -> dict[str, float | None]:
    """The last edit's value of each quantity; ``None`` for an infinite value."""
    results = run.on_the_data
    if results is None:
        return {}
    absent = () if results.beyond_placebo_values is not None else (BEYOND_PLACEBO,)
    shown = [quantity for quantity in run.quantities if quantity not in absent]
    values = {
        quantity.name: float(quantity.shown(results.values(quantity))[0]) for quantity in shown
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def summary_lines(
    place: Location, registry: Registry, damaged: Callable[[StoreError], None] | None = None
) -> Iterator[SummaryLine]:
    """The summary lines of all runs right below a folder, in order.

    A run that vanishes meanwhile is left out.

    Args:
        place: The folder.
        registry: The plugins whose metrics are shown.
        damaged: Receives the error of each damaged run, which is left out; the first one is raised if
            ``None``.

    Raises:
        NotARunError: The folder holds no runs.
        StoreError: A run is damaged, and ``damaged`` is ``None``.
    """
    for folder in find_runs([place]):
        try:
            yield summary_line(StoredRun(folder, registry))
        except NotARunError:
            continue
        except StoreError as error:
            if damaged is None:
                raise
            damaged(error)


def _values(run: StoredRun) -> Mapping[str, float | None]:
    """The manifest's values; computed anew if a metric was installed after the run."""
    stored = run.manifest.summary
    missing = any(quantity.name not in stored for quantity in run.quantities)
    return summary_values(run) if missing else stored
