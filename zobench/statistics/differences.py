"""Whether B is better than A, and how sure that is; paired by seed and resample by resample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric
from zobench.measures.interval import Interval, confidence, interval

Verdict = Literal["better", "worse", "no worse", "undecided", "same"]


@dataclass(frozen=True)
class Difference:
    """B minus A in one quantity, over pairs.

    Attributes:
        a: Mean of A, and its interval.
        b: Mean of B, and its interval.
        gain: The gain of B over A: positive is good, whichever way the quantity points.
        superiority: Probability of superiority: how sure it is that B is better on average, one-sided,
            under both sources of chance.
        margin: The loss at which B is still no worse.
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
    quantity: Metric,
    *,
    margin: float = 0.0,
) -> Difference:
    """Compares paired runs.

    Args:
        pairs: For each seed A and B ``(R + 1,)``: the data first, then R resamples of the patients,
            the same ones for both.
        quantity: The declaration of the quantity.
        margin: The loss at which B is still no worse, in units of the quantity, at least 0.
    """
    sides = [[np.asarray(pair[side], dtype=np.float64) for pair in pairs] for side in (0, 1)]
    if not all(np.isfinite(each).all() for side in sides for each in side):
        return _unknown(len(pairs), margin)
    sign = 1.0 if quantity.higher_is_better else -1.0
    shown = [[abs(each) if quantity.signed else each for each in side] for side in sides]
    gains = [sign * (b - a) for a, b in zip(*shown, strict=True)]
    gain = interval(gains)
    same = not any(np.any(each) for each in gains)
    a, b = (interval(side, quantity) for side in sides)
    return Difference(a, b, gain, confidence(gains), margin, _verdict(gain, margin, same))


def _unknown(seeds: int, margin: float) -> Difference:
    """The difference of ratios that are infinite on some patients: it has no mean."""
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
