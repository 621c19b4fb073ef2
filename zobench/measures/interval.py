"""Intervals under two sources of chance: patients within a seed, and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, with its 95 % interval.

    Attributes:
        value: The mean.
        low: Lower end.
        high: Upper end.
        seeds: How many it is the mean of; with 1 the interval knows of patients only.
    """

    value: float
    low: float
    high: float
    seeds: int


def resampled_means(
    runs: Sequence[NDArray[np.floating]], rng: np.random.Generator, replicates: int = 2000
) -> Floats:
    """Means over seeds drawn with replacement, each on a resample of its own patients.

    Args:
        runs: For each seed ``(R + 1, ...)``: the data first, then R resamples of the patients.
        rng: Draws seeds and resamples.
        replicates: How many means.

    Returns:
        ``(replicates, ...)``.
    """
    count = len(runs)
    seeds = rng.integers(0, count, (replicates, count))
    rows = [rng.integers(1, max(2, len(run)), replicates * count) for run in runs]
    total = np.zeros((replicates, *np.shape(runs[0])[1:]))
    for place in range(count):
        for seed, run in enumerate(runs):
            mine = np.flatnonzero(seeds[:, place] == seed)
            chosen = rows[seed][mine * count + place] if len(run) > 1 else np.zeros_like(mine)
            total[mine] += np.asarray(run, dtype=np.float64)[chosen]
    return total / count


def two_level(
    runs: Sequence[NDArray[np.floating]], rng: np.random.Generator, replicates: int = 2000
) -> Interval:
    """The mean over seeds of one number, with an interval over seeds and patients.

    Args:
        runs: For each seed ``(R + 1,)``: the data first, then R resamples of the patients.
        rng: Draws seeds and resamples.
        replicates: Resamples.
    """
    value = np.mean([run[0] for run in runs])
    low, high = interval(value, resampled_means(runs, rng, replicates), len(runs))
    return Interval(float(value), float(low), float(high), len(runs))


def interval(value: Floats, means: Floats, seeds: int) -> tuple[Floats, Floats]:
    """A 95 % interval about a mean over seeds, elementwise.

    Percentiles for a single seed, where only patients vary. For n seeds Student's interval with the
    standard error of the resamples times ``sqrt(n / (n - 1))``, for seeds drawn from n vary by so much
    too little; percentiles of few seeds would be too narrow (Hesterberg 2015, "What teachers should know
    about the bootstrap", section 4). Without variation of patients it is Student's interval itself.

    Args:
        value: The mean on the data ``(...)``.
        means: Resampled means ``(replicates, ...)``.
        seeds: How many they are means of.
    """
    from scipy.stats import t

    if seeds < 2:
        low, high = np.percentile(means, [2.5, 97.5], axis=0)
        return np.minimum(low, value), np.maximum(high, value)
    half = float(t.ppf(0.975, seeds - 1)) * _error(value, means, seeds)
    return value - half, value + half


def confidence(value: Floats, means: Floats, seeds: int) -> float:
    """How sure it is that the true mean is above 0: one-sided, and as :func:`interval` has it.

    Above 97.5 % if and only if the interval is above 0; 50 % where nothing varies about 0.
    """
    from scipy.stats import t

    if seeds < 2:
        return float((means > 0).mean() + 0.5 * (means == 0).mean())
    error = float(_error(value, means, seeds))
    if error == 0:
        return 0.5 + 0.5 * float(np.sign(value))
    return float(t.cdf(value / error, seeds - 1))


def _error(value: Floats, means: Floats, seeds: int) -> Floats:
    return np.asarray(np.sqrt(((means - value) ** 2).mean(0) * seeds / (seeds - 1)))
