"""Computes 95 % intervals: over patients for one seed, over seeds and patients for several seeds.

For one seed, the ends of the interval are percentiles of bootstrap resamples of the patients.
Tables show the absolute value of a signed quantity such as EO_p. Near 0, two simple intervals have
the wrong coverage: percentiles of the absolute values do not reach 0, and percentiles folded at 0
cover the true value too often. Feldman and Cousins 1998, "Unified approach to the classical
statistical analysis of small signals", order the outcomes by their likelihood ratio. With this
order, the interval of the absolute value of a normal mean covers the true value in 95 % of all
cases, also near 0. Their limits, converted to probabilities of the bootstrap distribution, give the
percentiles used here; far from 0 these are 2.5 % and 97.5 %.

For n > 1 seeds, the interval is Student's interval with the standard error of resampled means
times ``sqrt(n / (n - 1))``. Seeds resampled from n seeds vary too little, and this factor corrects
it; percentiles over few seeds would be too narrow (Hesterberg 2015, "What teachers should know
about the bootstrap", section 4). If the resamples of patients do not vary, the result is the
ordinary Student's interval.

``pytest tests/benchmarks/test_interval_coverage.py --benchmark-only -n 0 -s`` measures the coverage
of each rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric

Floats = NDArray[np.float64]

LEVEL = 0.95
FAR = 4.0
"""Distance from 0, in standard errors, from which the limits are those of a normal variable."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval.

    Attributes:
        value: The number; a mean over seeds if there are several.
        low: Lower end.
        high: Upper end.
        seeds: Number of seeds in the mean; with one seed the interval covers the variation of
            patients only.
    """

    value: float
    low: float
    high: float
    seeds: int = 1

    def as_dict(self) -> dict[str, float | None]:
        """Value and ends for JSON; a number that is infinite or NaN becomes ``None``."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: value if math.isfinite(value) else None for name, value in ends.items()}


def interval(runs: Sequence[NDArray[np.floating]], quantity: Metric | None = None) -> Interval:
    """The mean over seeds of one quantity, with its 95 % interval.

    Args:
        runs: For each seed ``(R + 1,)``: the value on the data, then on R resamples of the patients.
        quantity: The declaration of the quantity, with its bounds and whether tables show its
            absolute value; ``None`` for a difference, which has no bounds and keeps its sign.

    Raises:
        ValueError: There is one seed, and no resample.

    Returns:
        The interval. If there are several seeds and a value is not finite, such as a ratio with
        divisor 0, the lower end is the smallest of the seeds' values on the data, and the upper end
        is infinite.
    """
    if len(runs) == 1:
        low, high = _over_patients(np.asarray(runs[0], dtype=np.float64), quantity)
        if quantity is not None:  # a resampled recovery exceeds 1 where a gap changes its sign
            low, high = max(low, quantity.low), min(high, quantity.high)
        value = float(_shown(runs[0][0], quantity))
        return Interval(value, min(low, value), max(high, value))
    shown = [_shown(run, quantity) for run in runs]
    value = float(np.mean([run[0] for run in shown]))
    if not all(np.isfinite(run).all() for run in shown):
        return Interval(value, min(float(run[0]) for run in shown), math.inf, len(runs))
    below, above = (float(end) for end in student_limits(shown))
    if quantity is not None:  # Student's interval may exceed the bounds
        below, above = max(below, quantity.low), min(above, quantity.high)
    return Interval(value, below, above, len(runs))


def student_limits(runs: Sequence[NDArray[np.floating]]) -> tuple[Floats, Floats]:
    """Ends of Student's 95 % interval about the mean over at least two seeds, elementwise.

    Args:
        runs: For each seed ``(R + 1, ...)``: the data first, then R resamples of the patients.
    """
    from scipy.special import stdtrit

    mean = np.mean([run[0] for run in runs], axis=0)
    half = float(stdtrit(len(runs) - 1, 0.5 + LEVEL / 2)) * standard_error(runs)
    return mean - half, mean + half


def standard_error(runs: Sequence[NDArray[np.floating]]) -> Floats:
    """Standard error of the mean over at least two seeds, from seeds and patients, elementwise.

    A resampled mean averages n draws with replacement; each draw picks a seed and one resample of
    its patients. The standard error is the root mean square distance of resampled means from the
    mean on the data, times ``sqrt(n / (n - 1))``.

    Args:
        runs: For each seed ``(R + 1, ...)``: the data first, then R resamples of the patients.
    """
    count = len(runs)
    drawn = [run[1:] if len(run) > 1 else run for run in runs]
    mean = np.mean([run[0] for run in runs], axis=0)
    centre = np.mean([sample.mean(0) for sample in drawn], axis=0)
    spread = np.mean([((sample - centre) ** 2).mean(0) for sample in drawn], axis=0)
    return np.asarray(np.sqrt((spread / count + (centre - mean) ** 2) * count / (count - 1)))


def confidence(runs: Sequence[NDArray[np.floating]]) -> float:
    """The one-sided confidence that the true mean of a difference is above 0.

    For several seeds, the confidence exceeds 97.5 % if and only if the interval lies above 0. For
    one seed, it is the share of resamples above 0, where a resample equal to 0 counts half. The
    confidence is 50 % if all values are 0.

    Args:
        runs: For each seed ``(R + 1,)``: the data first, then R resamples of the patients.
    """
    from scipy.special import stdtr

    if len(runs) == 1:
        resamples = np.asarray(runs[0][1:])
        return float((resamples > 0).mean() + 0.5 * (resamples == 0).mean())
    value, error = float(np.mean([run[0] for run in runs])), float(standard_error(runs))
    if error == 0:
        return 0.5 + 0.5 * float(np.sign(value))
    return float(stdtr(len(runs) - 1, value / error))


def _shown(values: NDArray[np.floating], quantity: Metric | None) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return array if quantity is None else quantity.shown(array)


def _over_patients(values: Floats, quantity: Metric | None) -> tuple[float, float]:
    """Ends of the interval for one seed, with the data first and the resamples after it."""
    resamples = values[1:]
    if not len(resamples):
        raise ValueError("one value has no interval; give resamples of it, or several seeds")
    if quantity is None or not quantity.signed:
        low, high = _percentiles(resamples, 0.5 - LEVEL / 2, 0.5 + LEVEL / 2)
        return low, high
    from scipy.special import ndtr, ndtri

    positive = values[0] >= 0
    beyond = float(((resamples < 0) if positive else (resamples > 0)).mean())
    beyond += 0.5 * float((resamples == 0).mean())
    distance = FAR if beyond == 0 else max(0.0, -float(ndtri(beyond)))
    least, most = folded_limits(distance)
    ends = float(ndtr(least - distance)), float(ndtr(most - distance))
    if positive:
        low, high = _percentiles(resamples, *ends)
    else:
        low, high = (
            -percentile for percentile in _percentiles(resamples, *(1.0 - end for end in ends))
        )
    return (0.0 if least == 0 else max(0.0, low)), high


def _percentiles(values: Floats, *shares: float) -> tuple[float, float]:
    """Two percentiles, each a value of the sample: interpolating infinities would give NaN."""
    low, high = np.quantile(values, shares, method="inverted_cdf")
    return float(low), float(high)


def folded_limits(distance: float) -> tuple[float, float]:
    """The 95 % limits of ``|mean|`` of a normal variable, observed at ``distance`` from 0.

    Feldman and Cousins 1998, section IV, for the absolute value of a normal variable of standard
    deviation 1, whose density is ``phi(x - mean) + phi(x + mean)``.

    Args:
        distance: The observed absolute value, at least 0, in standard errors.

    Returns:
        Lower and upper limit in standard errors; the lower limit is 0 if the interval includes 0.
    """
    from scipy.special import ndtri

    if distance >= FAR:
        half = float(ndtri(0.5 + LEVEL / 2))
        return distance - half, distance + half
    means, lowest, highest = _acceptance()
    least = int(np.searchsorted(highest, distance, side="left"))
    most = int(np.searchsorted(lowest, distance, side="right")) - 1
    return float(means[least]), float(means[most])


@cache
def _acceptance() -> tuple[Floats, Floats, Floats]:
    """For each mean, the ends of its acceptance region: 95 % with the largest likelihood ratios."""
    step = 0.005
    means, x = np.arange(0.0, FAR + 3.0, 0.01), np.arange(0.0, FAR + 8.0, step) + step / 2
    best = x.copy()  # maximum-likelihood mean: mean = x * tanh(x * mean), 0 for x <= 1
    for _ in range(500):
        best = x * np.tanh(x * best)
    likeliest = _folded_density(x, best)
    ends = []
    for mean in means:
        density = _folded_density(x, mean)
        order = np.argsort(-density / likeliest, kind="stable")
        inside = order[: int(np.searchsorted(np.cumsum(density[order]) * step, LEVEL)) + 1]
        ends.append((x[inside.min()] - step / 2, x[inside.max()] + step / 2))
    lowest, highest = np.maximum.accumulate(np.array(ends)).T
    return means, lowest, highest


def _folded_density(x: Floats, mean: Floats | float) -> Floats:
    densities = np.exp(-0.5 * (x - mean) ** 2) + np.exp(-0.5 * (x + mean) ** 2)
    return np.asarray(densities / math.sqrt(2.0 * math.pi))
