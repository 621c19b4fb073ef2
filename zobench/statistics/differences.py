"""Tests whether B is better than A; runs are paired by seed, and resample by resample."""

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
    """The difference between A and B in one quantity, over paired runs.

    Attributes:
        a: Mean of A with its 95 % interval.
        b: Mean of B with its 95 % interval.
        gain: Gain of B over A with its 95 % interval: positive means that B is better, also for a
            quantity of which lower values are better.
        superiority: One-sided confidence that B is better on average. It covers the variation
            between patients and, with several seeds, the variation between seeds.
        margin: Largest loss of B that still counts as no worse.
        verdict: ``same`` if all pairs are equal on the data and in all resamples. Otherwise
            ``better`` if the interval of the gain is above 0, ``worse`` if below 0, ``no worse`` if
            it is above ``-margin`` (non-inferiority), and ``undecided`` in all other cases.
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
    """Compares paired runs in one quantity.

    Args:
        pairs: For each seed the values of A and of B, each ``(R + 1,)``: first the value on the
            data, then the values on R resamples of the patients. A and B use the same resamples.
        quantity: The declaration of the quantity.
        margin: Largest loss of B that still counts as no worse, in units of the quantity, at least
            0.
    """
    sides = [[np.asarray(pair[side], dtype=np.float64) for pair in pairs] for side in (0, 1)]
    a, b = (interval(side, quantity) for side in sides)
    if not all(np.isfinite(sample).all() for side in sides for sample in side):
        nothing = Interval(np.nan, np.nan, np.nan, len(pairs))
        return Difference(a, b, nothing, np.nan, margin, "undecided")
    sign = 1.0 if quantity.higher_is_better else -1.0
    shown = [[quantity.shown(sample) for sample in side] for side in sides]
    gains = [sign * (after - before) for before, after in zip(*shown, strict=True)]
    gain = interval(gains)
    same = not any(np.any(change) for change in gains)
    return Difference(a, b, gain, confidence(gains), margin, _verdict(gain, margin, same))


def _verdict(gain: Interval, margin: float, same: bool) -> Verdict:
    if same:
        return "same"
    if gain.low > 0:
        return "better"
    if gain.high < 0:
        return "worse"
    return "no worse" if gain.low > -margin else "undecided"
