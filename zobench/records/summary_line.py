"""The summary line of a run, for lists of many runs.

The manifest of a finished run holds these numbers, so thousands of runs are read quickly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.errors import NotARunError
from zobench.files.location import Location
from zobench.registry.discovery import Registry

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
        values=_values(run) if run.done else {},
    )


def summary_lines(place: Location, registry: Registry) -> Iterator[SummaryLine]:
    """The summary lines of all runs right below a folder, in order.

    A run that vanishes meanwhile is left out.

    Raises:
        NotARunError: The folder holds no runs.
        StoreError: A run is damaged.
    """
    for folder in find_runs([place]):
        with suppress(NotARunError):
            yield summary_line(StoredRun(folder, registry))


def _values(run: StoredRun) -> Mapping[str, float | None]:
    """The manifest's values; computed anew if a metric was installed after the run."""
    stored = run.manifest.summary
    missing = any(each.name not in stored for each in run.quantities)
    return run.point_values() if missing else stored
