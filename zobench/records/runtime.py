"""The runtime of a stored run: its queries to a target recovery, and the queries it is charged.

The quantities that expected runtimes and ECDFs are made of (:mod:`zobench.statistics.runtimes`).
"""

from __future__ import annotations

from zobench.contracts.run_status import RunStatus
from zobench.measures.recovery import reaches

from .stored_run import StoredRun


def known_until(run: StoredRun) -> int:
    """Queries up to which recovery is known: all of a done run, else to the end of the curve."""
    if run.done:
        return run.spent
    results = run.on_the_data
    return max((0, *results.queries)) if results is not None else 0


def has_runtime(run: StoredRun) -> bool:
    """Whether the run counts in runtimes: it is done or failed, or a snapshot is scored."""
    return run.status in (RunStatus.DONE, RunStatus.FAILED) or known_until(run) > 0


def queries_charged(run: StoredRun) -> int:
    """Queries charged if the run misses a target: all spent queries if the run failed."""
    return run.spent if run.status is RunStatus.FAILED else known_until(run)


def queries_to(run: StoredRun, target: float) -> int | None:
    """Queries of the first snapshot of the curve with that recovery; ``None`` if there is none."""
    results = run.on_the_data
    if results is None:
        return None
    curve = zip(results.queries, results.curve.recovery[1:, 0].tolist(), strict=True)
    return next((queries for queries, recovery in curve if reaches(recovery, target)), None)
