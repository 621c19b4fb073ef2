"""Anytime curves: the value of the recommended edit as a function of the queries spent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric
from zobench.measures.interval import interval, student_limits

Floats = NDArray[np.float64]


def staircase(
    queries: Sequence[int],
    values: NDArray[np.floating],
    grid: NDArray[np.floating],
    spent: float = np.inf,
) -> Floats:
    """The value of the latest snapshot at or before each query count of a grid.

    Args:
        queries: Query counts of the snapshots, increasing, ``(S,)``.
        values: Values of the snapshots, ``(S, ...)``.
        grid: Query counts ``(G,)``.
        spent: Last query count at which the run's value is known; the result is NaN beyond it.

    Returns:
        ``(G, ...)``; 0 before the first snapshot.
    """
    table = np.concatenate([np.zeros((1, *values.shape[1:])), values])
    steps = table[np.searchsorted(np.asarray(queries), grid, side="right")]
    steps[np.asarray(grid) > spent] = np.nan
    return np.asarray(steps, dtype=np.float64)


def band(
    curves: Sequence[NDArray[np.floating]], quantity: Metric | None = None
) -> tuple[Floats, Floats, Floats]:
    """Mean curve over seeds, with a pointwise 95 % band.

    The band of several seeds covers the variation over seeds and patients; the band of one seed
    covers the variation over patients only.

    Args:
        curves: For each seed an array ``(R + 1, G)``: row 0 is the data, the other R rows are
            resamples of the patients. All seeds share one grid. A value is NaN where the run's
            value is not known; the mean is NaN where any seed has NaN.
        quantity: The declaration of the quantity, whose bounds the band keeps; ``None`` for a
            quantity without bounds.

    Returns:
        Mean, lower end and upper end of the band, each ``(G,)``.
    """
    mean = np.mean([curve[0] for curve in curves], axis=0)
    least, most = (-np.inf, np.inf) if quantity is None else (quantity.low, quantity.high)
    if len(curves) > 1:
        low, high = student_limits(curves)
        return mean, np.maximum(low, least), np.minimum(high, most)
    limits = [interval([column], quantity) for column in np.asarray(curves[0]).T]
    low, high = np.array([(limit.low, limit.high) for limit in limits]).T
    unknown = np.isnan(mean)
    return mean, np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def aocc(evaluations: Sequence[int], best: Sequence[float], budget: int) -> float:
    """IOHprofiler's anytime measure AOCC (area over the convergence curve) on a linear axis.

    Args:
        evaluations: Evaluation counts at which the best value so far changed, increasing, ``(S,)``.
        best: Best value so far, scaled from 0 (worst) to 1 (target), ``(S,)``. The first value is
            also used for the evaluations before it.
        budget: Number of evaluations at which the axis ends; later evaluations are ignored.

    Returns:
        A number from 0 to 1; 0 for a run without a recorded value within the budget.
    """
    within = [(at, value) for at, value in zip(evaluations, best, strict=True) if at <= budget]
    if not within:
        return 0.0
    stops = np.asarray([0, *(at for at, _ in within[1:]), budget], dtype=np.float64)
    values = np.clip([value for _, value in within], 0.0, 1.0)
    return float((np.diff(stops) * values).sum() / budget)
