"""Is B better than A, and how sure are we? Paired by seed, patient by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zobench.measures.interval import Interval, confidence, interval, resampled_means, two_level

Verdict = Literal["better", "worse", "no worse", "undecided", "same"]


@dataclass(frozen=True)
class Difference:
    """B minus A in one metric, over pairs.

    Attributes:
        a: Mean of A, and its interval.
        b: Mean of B, and its interval.
        gain: What B gains over A: positive is good, whichever way the metric points.
        superiority: Probability of superiority: how sure it is that B is better on average, one-sided,
            under both sources of chance.
        margin: What B may lose and still be no worse.
        verdict: ``better`` or ``worse`` if the interval of the gain is on one side of 0; else
            ``no worse`` if it is above ``-margin`` (non-inferiority); else ``undecided``. ``same`` if
            no pair differs in any resample.
    """

    a: Interval
    b: Interval
    gain: Interval
    superiority: float
    margin: float
    verdict: Verdict


def difference(
    pairs: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    rng: np.random.Generator,
    *,
    higher_is_better: bool = True,
    margin: float = 0.0,
    replicates: int = 2000,
) -> Difference:
    """Compares paired runs.

    Args:
        pairs: For each seed A and B ``(R + 1,)``: the data first, then R resamples of the patients,
            the same ones for both.
        rng: Draws seeds and resamples.
        higher_is_better: Whether more of the metric is better.
        margin: What B may lose and still be no worse, in units of the metric, at least 0.
        replicates: Resamples.
    """
    sign = 1.0 if higher_is_better else -1.0
    if not all(np.isfinite(side).all() for pair in pairs for side in pair):
        return _unknown(len(pairs), margin)
    gains = [sign * (np.asarray(b, dtype=np.float64) - np.asarray(a)) for a, b in pairs]
    value, means = np.mean([gain[0] for gain in gains]), resampled_means(gains, rng, replicates)
    low, high = interval(value, means, len(gains))
    gain = Interval(float(value), float(low), float(high), len(gains))
    superiority = confidence(value, means, len(gains))
    same = not any(np.any(each) for each in gains)
    a, b = (two_level([pair[side] for pair in pairs], rng, replicates) for side in (0, 1))
    return Difference(a, b, gain, superiority, margin, _verdict(gain, margin, same))


def _unknown(seeds: int, margin: float) -> Difference:
    """Of ratios that are infinite on some patients there is no mean, and no difference."""
    nothing = Interval(np.nan, np.nan, np.nan, seeds)
    return Difference(nothing, nothing, nothing, np.nan, margin, "undecided")


def _verdict(gain: Interval, margin: float, same: bool) -> Verdict:
    if same:
        return "same"
    if gain.low > 0:
        return "better"
    if gain.high < 0:
        return "worse"
    return "no worse" if gain.low > -margin else "undecided"
