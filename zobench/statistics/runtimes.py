"""Runtimes in queries: ERT, simulated restarts, ECDF, success, data profiles.

A runtime is the queries of a run's first snapshot that reaches a target, or ``None`` for a run that
never does; what a failed run has spent always counts. Definitions are COCO's (Hansen et al. 2021,
"COCO: a platform for comparing continuous optimizers in a black-box setting"), data profiles those of
More and Wild 2009, "Benchmarking derivative-free optimization algorithms".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Runtimes = Sequence[int | None]


def first_success(queries: Sequence[int], recoveries: Sequence[float], target: float) -> int | None:
    """Queries of the first snapshot whose recovery is at least ``target``; ``None`` if none is."""
    reached = (count for count, found in zip(queries, recoveries, strict=True) if found >= target)
    return next(reached, None)


def expected_queries(successes: Runtimes, spent: Sequence[int]) -> float:
    """ERT: queries spent by all runs up to their success, over the number of successes.

    A run that fails is charged all that it spent, as if another were started after it until one
    succeeds.

    Args:
        successes: Queries of each run's first success, ``None`` for a run without.
        spent: Queries that each run has spent in all.

    Returns:
        Infinity if no run succeeds.
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
    """Bootstrap interval of ERT over runs; its upper end is infinite where resamples lack a success."""
    charged, failed = _charged(successes, spent)
    if not len(charged):
        return float("inf"), float("inf")
    drawn = rng.integers(0, len(charged), (replicates, len(charged)))
    reached = (~failed[drawn]).sum(1)
    with np.errstate(divide="ignore"):
        values = np.where(reached > 0, charged[drawn].sum(1) / reached, np.inf)
    ends = np.percentile(values, [50 - 50 * level, 50 + 50 * level], method="inverted_cdf")
    return float(ends[0]), float(ends[1])


def success_rate(successes: Runtimes) -> float:
    """Share of the runs that reach the target within what they spent; 0 of no runs."""
    return sum(count is not None for count in successes) / len(successes) if successes else 0.0


def simulated_runtimes(
    successes: Runtimes, spent: Sequence[int], size: int, rng: np.random.Generator
) -> Floats:
    """Runtimes of an optimizer that is restarted until it succeeds, ``(size,)``.

    A run is drawn; if it failed, its spending is added and another is drawn. The mean tends to ERT.

    Returns:
        Infinity everywhere if no run succeeds.
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
    """Share of ``runtimes``, infinite ones included, that are at most each point of ``grid``."""
    ordered = np.sort(np.asarray(runtimes, dtype=np.float64).ravel())
    return np.searchsorted(ordered, grid, side="right") / max(1, len(ordered))


def data_profile(successes: Runtimes, grid: NDArray[np.floating]) -> Floats:
    """Share of problems (a run each, without restarts) solved within each number of queries."""
    return ecdf(np.asarray([np.inf if each is None else each for each in successes]), grid)


def _charged(successes: Runtimes, spent: Sequence[int]) -> tuple[Floats, NDArray[np.bool_]]:
    """What each run is charged, and whether it failed."""
    pairs = list(zip(successes, spent, strict=True))
    charged = [whole if count is None else count for count, whole in pairs]
    failed = [count is None for count, _ in pairs]
    return np.asarray(charged, dtype=np.float64), np.asarray(failed, dtype=np.bool_)
