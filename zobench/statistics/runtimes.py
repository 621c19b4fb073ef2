"""Runtimes in queries: ERT, simulated restarts, ECDF, success rate and data profiles.

A runtime is the query count of the first snapshot of a run that reaches a target. It is ``None``
for a run that never reaches the target; ERT and the simulated restarts then count all queries that
the run spent. The definitions are from COCO (Hansen et al. 2021, "COCO: a platform for comparing
continuous optimizers in a black-box setting"), data profiles are from More and Wild 2009,
"Benchmarking derivative-free optimization algorithms".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zobench.measures.recovery import reaches

Floats = NDArray[np.float64]
Runtimes = Sequence[int | None]


def first_success(queries: Sequence[int], recoveries: Sequence[float], target: float) -> int | None:
    """Query count of the first snapshot with a recovery of at least ``target``, or ``None``."""
    pairs = zip(queries, recoveries, strict=True)
    return next((count for count, recovery in pairs if reaches(recovery, target)), None)


def expected_queries(successes: Runtimes, spent: Sequence[int]) -> float:
    """Expected runtime (ERT): queries charged to all runs, divided by the number of successes.

    A run that reaches the target is charged the queries up to then; a run that does not reach the
    target is charged all its queries. This models restarts until one run succeeds.

    Args:
        successes: For each run, its runtime: queries up to the target; ``None`` if it never reached
            it.
        spent: For each run, the total number of queries that it spent.

    Returns:
        Expected number of queries; infinity if no run succeeds.
    """
    charged, failed = _charged(successes, spent)
    reached = np.count_nonzero(~failed)
    return float(charged.sum() / reached) if reached else float("inf")


def expected_queries_interval(
    successes: Runtimes,
    spent: Sequence[int],
    rng: np.random.Generator,
    replicates: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of ERT over runs.

    ERT is infinite in a resample without a success, so one or both ends can be infinite. Both ends
    are infinite if there are no runs.
    """
    charged, failed = _charged(successes, spent)
    if not len(charged):
        return float("inf"), float("inf")
    drawn = rng.integers(0, len(charged), (replicates, len(charged)))
    reached = (~failed[drawn]).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(reached > 0, charged[drawn].sum(1) / reached, np.inf)
    ends = np.percentile(values, [50 - 50 * level, 50 + 50 * level], method="inverted_cdf")
    return float(ends[0]), float(ends[1])


def success_rate(successes: Runtimes) -> float:
    """Share of the runs that reached the target; 0 if there are no runs."""
    return sum(count is not None for count in successes) / len(successes) if successes else 0.0


def simulated_runtimes(
    successes: Runtimes, spent: Sequence[int], size: int, rng: np.random.Generator
) -> Floats:
    """Simulated runtimes of an optimizer that is restarted until it reaches the target.

    Each simulated runtime draws runs at random until it draws a success, and adds up the queries
    that the drawn runs are charged. The mean over many simulated runtimes approaches ERT.

    Returns:
        ``(size,)``; every value is infinite if no run succeeds.
    """
    charged, failed = _charged(successes, spent)
    if failed.all():
        return np.full(size, np.inf)
    drawn = rng.integers(0, len(charged), size)
    total = charged[drawn]
    unlucky = np.flatnonzero(failed[drawn])
    while len(unlucky):
        drawn = rng.integers(0, len(charged), len(unlucky))
        total[unlucky] += charged[drawn]
        unlucky = unlucky[failed[drawn]]
    return total


def ecdf(runtimes: NDArray[np.floating], grid: NDArray[np.floating]) -> Floats:
    """For each point of ``grid``, the share of all ``runtimes`` (also infinite ones) up to it."""
    ordered = np.sort(np.asarray(runtimes, dtype=np.float64).ravel())
    return np.searchsorted(ordered, grid, side="right") / max(1, len(ordered))


def data_profile(successes: Runtimes, grid: NDArray[np.floating]) -> Floats:
    """Share of problems solved within each query count of ``grid``: one run each, no restarts."""
    return ecdf(np.asarray([np.inf if success is None else success for success in successes]), grid)


def _charged(successes: Runtimes, spent: Sequence[int]) -> tuple[Floats, NDArray[np.bool_]]:
    """For each run, the queries that it is charged and whether it missed the target."""
    pairs = list(zip(successes, spent, strict=True))
    charged = [whole if count is None else count for count, whole in pairs]
    failed = [count is None for count, _ in pairs]
    return np.asarray(charged, dtype=np.float64), np.asarray(failed, dtype=np.bool_)
