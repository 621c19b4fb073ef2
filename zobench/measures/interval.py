"""The 95 % interval of every quantity: over patients for one seed, over seeds and patients for several.

For one seed the interval holds the percentiles of bootstrap resamples of the patients. Of a quantity
with a sign, such as EO_p, tables show the absolute value, and near 0 neither percentiles of absolute
values (they never reach down to 0) nor percentiles that are folded at 0 (they hold the truth too often)
are right. Feldman and Cousins 1998, "Unified approach to the classical statistical analysis of small
signals", order the outcomes by their likelihood ratio; with that order the interval of the absolute
value of a normal mean holds the truth in 95 % of all cases, near 0 too. Their limits, as probabilities
of the bootstrap distribution, choose the percentiles here; away from 0 they are 2.5 and 97.5 %.

For n > 1 seeds it is Student's interval with the standard error of resampled means times
``sqrt(n / (n - 1))``, for seeds drawn from n vary by so much too little; percentiles of few seeds would
be too narrow (Hesterberg 2015, "What teachers should know about the bootstrap", section 4). Without
variation of patients it is Student's interval itself.

``pytest tests/benchmarks/test_interval_coverage.py --benchmark-only -n 0 -s`` measures how often each
rule holds the truth.
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
"""Standard errors from 0 beyond which 0 no longer bends the interval."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval.

    Attributes:
        value: The number; a mean over seeds if there are several.
        low: Lower end.
        high: Upper end.
        seeds: Seeds that it is the mean of; with 1 the interval knows of patients only.
    """

    value: float
    low: float
    high: float
    seeds: int = 1

    def as_dict(self) -> dict[str, float | None]:
        """Value and ends for JSON; ``None`` for an infinite or unknown one."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: value if math.isfinite(value) else None for name, value in ends.items()}


def interval(runs: Sequence[NDArray[np.floating]], quantity: Metric | None = None) -> Interval:
    """The mean over seeds of one quantity, with its 95 % interval.

    Args:
        runs: For each seed ``(R + 1,)``: the value on the data, then on R resamples of the patients.
        quantity: The declaration of the quantity, which says whether it has a sign that is not shown,
            and its bounds; ``None`` for a difference, which has neither.

    Returns:
        The interval. A ratio that is infinite on some patients of several seeds has no mean: the
        value is that of the data, the upper end infinite.
    """
    if len(runs) == 1:
        low, high = _over_patients(np.asarray(runs[0], dtype=np.float64), quantity)
        value = float(_shown(runs[0][0], quantity))
        return Interval(value, min(low, value), max(high, value))
    shown = [_shown(run, quantity) for run in runs]
    value = float(np.mean([run[0] for run in shown]))
    if not all(np.isfinite(run).all() for run in shown):
        return Interval(value, min(float(run[0]) for run in shown), math.inf, len(runs))
    below, above = (float(end) for end in student_limits(shown))
    if quantity is not None:  # Student's interval does not know of bounds
        below, above = max(below, quantity.low), min(above, quantity.high)
    return Interval(value, below, above, len(runs))


def student_limits(runs: Sequence[NDArray[np.floating]]) -> tuple[Floats, Floats]:
    """Ends of Student's 95 % interval about the mean over at least two seeds, elementwise.

    Args:
        runs: For each seed ``(R + 1, ...)``: the data first, then R resamples of the patients.
    """
    from scipy.stats import t

    mean = np.mean([run[0] for run in runs], axis=0)
    half = float(t.ppf(0.5 + LEVEL / 2, len(runs) - 1)) * standard_error(runs)
    return mean - half, mean + half


def standard_error(runs: Sequence[NDArray[np.floating]]) -> Floats:
    """Standard error of the mean over at least two seeds, under both sources of chance, elementwise.

    That is the root mean square distance from the mean of means of n draws, each of a seed and of a
    resample of its patients, with replacement, times ``sqrt(n / (n - 1))``.

    Args:
        runs: For each seed ``(R + 1, ...)``: the data first, then R resamples of the patients.
    """
    count = len(runs)
    drawn = [run[1:] if len(run) > 1 else run for run in runs]
    mean = np.mean([run[0] for run in runs], axis=0)
    centre = np.mean([each.mean(0) for each in drawn], axis=0)
    spread = np.mean([((each - centre) ** 2).mean(0) for each in drawn], axis=0)
    return np.asarray(np.sqrt((spread / count + (centre - mean) ** 2) * count / (count - 1)))


def confidence(runs: Sequence[NDArray[np.floating]]) -> float:
    """The one-sided confidence that the true mean of a difference is above 0.

    Above 97.5 % if and only if the interval is above 0; 50 % where nothing varies about 0.

    Args:
        runs: For each seed ``(R + 1,)``: the data first, then R resamples of the patients.
    """
    from scipy.stats import t

    if len(runs) == 1:
        resamples = np.asarray(runs[0][1:])
        return float((resamples > 0).mean() + 0.5 * (resamples == 0).mean())
    value, error = float(np.mean([run[0] for run in runs])), float(standard_error(runs))
    if error == 0:
        return 0.5 + 0.5 * float(np.sign(value))
    return float(t.cdf(value / error, len(runs) - 1))


def _shown(values: NDArray[np.floating], quantity: Metric | None) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    return abs(found) if quantity is not None and quantity.signed else found


def _over_patients(values: Floats, quantity: Metric | None) -> tuple[float, float]:
    """Ends of the interval of the value ``values[0]`` with resamples ``values[1:]``."""
    resamples = values[1:]
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
        low, high = (-each for each in _percentiles(resamples, *(1.0 - end for end in ends)))
    return (0.0 if least == 0 else max(0.0, low)), high


def _percentiles(values: Floats, *shares: float) -> tuple[float, float]:
    """Values that so large shares of a sample do not exceed; one that occurs, so never NaN of inf."""
    low, high = np.quantile(values, shares, method="inverted_cdf")
    return float(low), float(high)


def folded_limits(distance: float) -> tuple[float, float]:
    """The 95 % limits of ``|mean|`` of a normal variable that was seen at ``distance`` from 0.

    Feldman and Cousins 1998, section IV, for the absolute value of a normal variable of standard
    deviation 1, whose density is ``phi(x - mean) + phi(x + mean)``.

    Args:
        distance: The absolute value seen, at least 0, in standard errors.

    Returns:
        Lower and upper limit in standard errors; the lower one is 0 where 0 is not excluded.
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
    """For each mean the ends of the values that hold 95 % and have the largest likelihood ratios."""
    step = 0.005
    means, x = np.arange(0.0, FAR + 3.0, 0.01), np.arange(0.0, FAR + 8.0, step) + step / 2
    best = x.copy()  # the mean of largest likelihood: mean = x * tanh(x * mean), 0 up to x = 1
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
