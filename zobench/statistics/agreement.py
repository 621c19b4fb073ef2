"""Whether two tasks rank methods alike: Kendall's rank correlation, with an interval over seeds.

Kendall 1945, "The treatment of ties in ranking problems": tau-b is 1 for equal orders, -1 for
opposite ones, and near 0 for unrelated ones; pairs that tie on a task count for neither side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 1000
"""Resamples of the seeds."""
LEVEL = 0.95


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of two tasks.

    Attributes:
        tau: Of the methods' means over seeds; NaN if all methods tie on a task.
        low: Lower end of the interval over seeds; NaN for a single seed.
        high: Upper end.
    """

    tau: float
    low: float
    high: float


def agreement(first: Floats, second: Floats, rng: np.random.Generator) -> Agreement:
    """How much two tasks agree on the order of methods.

    Seeds are resampled, the same ones on both tasks, since a seed draws the same split. Few seeds
    have few resamples: the interval of three seeds is the range of ten means.

    Args:
        first: Scores ``(M, S)`` of M methods with S seeds on one task.
        second: Scores ``(M, S)`` of the same methods with the same seeds on the other task.
        rng: Draws the resamples.

    Raises:
        ValueError: The tasks have different methods or seeds, or fewer than two methods.
    """
    if first.shape != second.shape or len(first) < 2:
        raise ValueError(
            f"scores of shapes {first.shape} and {second.shape}: need the same methods and seeds, and "
            "at least two methods"
        )
    seeds = first.shape[1]
    (value,) = _taus(first.mean(1, keepdims=True), second.mean(1, keepdims=True)).tolist()
    if seeds < 2:
        return Agreement(value, math.nan, math.nan)
    rows = rng.integers(0, seeds, (DRAWS, seeds))
    drawn = _taus(first[:, rows].mean(2), second[:, rows].mean(2))
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Agreement(value, math.nan, math.nan)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Agreement(value, float(low), float(high))


def _taus(one: Floats, two: Floats) -> Floats:
    """Tau-b ``(N,)`` of the columns of two tables ``(M, N)``; NaN where all of a column tie."""
    above, below = np.triu_indices(len(one), 1)
    orders, others = (np.sign(table[above] - table[below]) for table in (one, two))
    ranked = np.sqrt(np.abs(orders).sum(0) * np.abs(others).sum(0))
    with np.errstate(invalid="ignore"):
        return np.asarray((orders * others).sum(0) / ranked)
