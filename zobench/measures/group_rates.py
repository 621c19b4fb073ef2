"""Rates of a disease classifier in the groups of (y, a), on the test images and on resamples of them.

Notation: y disease, a sensitive attribute, yhat the prediction at threshold 0.5 (Jin et al. 2024,
section 3.1). Plugins declare the metrics, see :mod:`zobench.contracts.metric`; the functions here
compute the inputs of recovery and the terms that several metrics use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import GroupCounts, Metric, Predictions

Floats = NDArray[np.float64]


def count_groups(answers: Sequence[Predictions], weights: Floats) -> list[GroupCounts]:
    """Counts of several classifiers on the same images, in one pass over the weights.

    Args:
        answers: The classifiers' predictions; label and sensitive attribute are the same in all.
        weights: ``(R, n)`` how often each image counts.
    """
    label, sensitive = answers[0].label, answers[0].sensitive
    cells = 2 * label + sensitive
    member = np.stack([cells == number for number in range(4)], axis=1).astype(np.float64)
    called = [member * (answer.score > 0)[:, None] for answer in answers]
    sums = (weights @ np.concatenate([member, *called], axis=1)).reshape(len(weights), -1, 2, 2)
    return [GroupCounts(sums[:, 0], sums[:, 1 + place]) for place in range(len(answers))]


def equalised_odds_gaps(counts: GroupCounts) -> tuple[Floats, Floats]:
    """Signed gaps ``(eo_n, eo_p)``, each ``(R,)`` in percent.

    ``eo_n = P(yhat=0|y=0,a=1) - P(yhat=0|y=0,a=0)`` and ``eo_p = P(yhat=1|y=1,a=1) -
    P(yhat=1|y=1,a=0)``, in percent (Jin et al. 2024, section 3.1).
    """
    rate = counts.rate
    return 100.0 * (rate[:, 0, 0] - rate[:, 0, 1]), 100.0 * (rate[:, 1, 1] - rate[:, 1, 0])


def gap(counts: GroupCounts) -> Floats:
    """The gap that recovery is computed from: ``(|eo_n| + |eo_p|) / 2``, ``(R,)`` in percent."""
    eo_n, eo_p = equalised_odds_gaps(counts)
    return np.asarray((abs(eo_n) + abs(eo_p)) / 2)


def signed_gap(counts: GroupCounts) -> Floats:
    """The mean of EO_n and EO_p, each multiplied by the sign that it has on the data (row 0), ``(R,)``.

    On the data this is :func:`gap`. In the resamples, absolute values would be too large where a gap
    is near 0; with the signs of the data, the resamples vary around the value on the data, as the
    interval of one run needs.
    """
    eo_n, eo_p = equalised_odds_gaps(counts)
    return np.asarray((_sign(eo_n[0]) * eo_n + _sign(eo_p[0]) * eo_p) / 2)


def _sign(value: float) -> float:
    """1 or -1; a gap of exactly 0 on the data still varies in the resamples."""
    return -1.0 if value < 0 else 1.0


def accuracy(counts: GroupCounts) -> Floats:
    """``P(yhat = y)``, ``(R,)`` in percent."""
    right = counts.images[:, 0] - counts.called[:, 0] + counts.called[:, 1]
    return np.asarray(100.0 * right.sum(1) / counts.images.sum((1, 2)))


def ratio(above: Floats, below: Floats) -> Floats:
    """A ratio of rates; 0/0 is 1 (no disparity), a positive number over 0 is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((above == 0) & (below == 0), 1.0, above / below)


def compute(
    metric: Metric,
    predictions: Predictions,
    weights: Floats | None = None,
    *,
    in_means: bool = False,
) -> Floats:
    """Values ``(R,)`` of one metric for one classifier; a signed metric keeps its sign.

    Args:
        metric: The declaration of the metric.
        predictions: The classifier's predictions.
        weights: ``(R, n)`` how often each image counts, in the first row once; ``None`` for that row
            alone.
        in_means: Whether they are for a mean over seeds or a difference of runs.
    """
    if weights is None:
        weights = np.ones((1, len(predictions.label)))
    if metric.from_scores is not None:
        return metric.of_scores(predictions, weights)
    (counts,) = count_groups([predictions], weights)
    return metric.of_counts(counts, in_means=in_means)
