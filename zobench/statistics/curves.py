"""Anytime curves: the recommended edit's value at each number of queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zobench.measures.interval import interval, student_limits

Floats = NDArray[np.float64]


def staircase(
    queries: Sequence[int],
    values: NDArray[np.floating],
    grid: NDArray[np.floating],
    spent: float = np.inf,
) -> Floats:
    """The value of the snapshot recommended at or before each point of a grid.

    Args:
        queries: Query counts of the snapshots, increasing, ``(S,)``.
        values: Their values ``(S, ...)``.
        grid: Query counts ``(G,)``.
        spent: Where the run ended; NaN beyond it, for nothing is known there.

    Returns:
        ``(G, ...)``; 0 before the first snapshot.
    """
    table = np.concatenate([np.zeros((1, *values.shape[1:])), values])
    found = table[np.searchsorted(np.asarray(queries), grid, side="right")]
    found[np.asarray(grid) > spent] = np.nan
    return np.asarray(found, dtype=np.float64)


def band(curves: Sequence[NDArray[np.floating]]) -> tuple[Floats, Floats, Floats]:
    """Mean curve over seeds and its pointwise 95 % band over seeds and patients.

    Args:
        curves: For each seed ``(R + 1, G)``: the data first, then R resamples of the patients. All on
            one grid; NaN where a run had ended, and there is no mean where any has.

    Returns:
        Mean, lower and upper end, each ``(G,)``.
    """
    mean = np.mean([curve[0] for curve in curves], axis=0)
    if len(curves) > 1:
        return mean, *student_limits(curves)
    limits = [interval([column]) for column in np.asarray(curves[0]).T]
    low, high = np.array([(each.low, each.high) for each in limits]).T
    unknown = np.isnan(mean)
    return mean, np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def aocc(evaluations: Sequence[int], best: Sequence[float], budget: int) -> float:
    """Area over the convergence curve, on a linear axis: IOHprofiler's anytime measure.

    Args:
        evaluations: When the best value so far changed, increasing, ``(S,)``.
        best: The best so far, scaled to 0 (worst) to 1 (target), ``(S,)``; the first holds from the
            beginning.
        budget: Where the axis ends; what comes later does not count.

    Returns:
        0 to 1. A run that has recorded nothing within the budget has 0.
    """
    within = [(at, value) for at, value in zip(evaluations, best, strict=True) if at <= budget]
    if not within:
        return 0.0
    stops = np.asarray([0, *(at for at, _ in within[1:]), budget], dtype=np.float64)
    values = np.clip([value for _, value in within], 0.0, 1.0)
    return float((np.diff(stops) * values).sum() / budget)
