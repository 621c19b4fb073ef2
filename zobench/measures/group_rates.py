"""Group fairness and accuracy of a disease classifier, per test patient, in percent.

Notation: y disease, a sensitive attribute, yhat the prediction at threshold 0.5. Following Jin et
al. 2024, section 3.1, with absolute values:

====================  ==========================================================================
``eo_n``              ``|P(yhat=0 | y=0, a=1) - P(yhat=0 | y=0, a=0)|``
``eo_p``              ``|P(yhat=1 | y=1, a=1) - P(yhat=1 | y=1, a=0)|``
``di_gap``            ``|1 - P(yhat=1 | a=1) / P(yhat=1 | a=0)|``, the paper's formula
``di_gap_tpr``        ``|1 - TPR(a=1) / TPR(a=0)|``, what the paper's released code computes and its
                      published table contains
``dp_gap``            ``|P(yhat=1 | a=1) - P(yhat=1 | a=0)|``, demographic parity
``eodds_average``     ``(eo_n + eo_p) / 2``, the gap that recovery is about
``eodds_max``         ``max(eo_n, eo_p)``
``accuracy``          ``P(yhat = y)``
``worst_group``       lowest accuracy among the four cells of (y, a)
``auc``               area under the ROC curve of the classifier's score
====================  ==========================================================================

A ratio 0/0 counts as 1 (no disparity); a positive number over 0 is infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METRICS = (
    "eo_n",
    "eo_p",
    "di_gap",
    "di_gap_tpr",
    "dp_gap",
    "eodds_average",
    "eodds_max",
    "accuracy",
    "worst_group",
    "auc",
)

SIGNED = ("eo_n", "eo_p", "di_gap", "di_gap_tpr", "dp_gap")
"""Metrics that are absolute values of something with a sign."""


@dataclass(frozen=True)
class Predictions:
    """A classifier's answers on the test images, each array ``(n,)``.

    Attributes:
        score: Logit of class 1 minus that of class 0; class 1 is predicted where positive.
        label: Disease y.
        sensitive: Sensitive attribute a.
    """

    score: Floats
    label: Ints
    sensitive: Ints


def metrics(predictions: Predictions, weights: Floats | None = None) -> dict[str, Floats]:
    """Every metric, in percent.

    Args:
        predictions: The classifier's answers.
        weights: ``(R, n)`` how often each image counts in each of R resamples; all once if ``None``.

    Returns:
        For each name in :data:`METRICS` an array ``(R,)``.
    """
    return {name: abs(values) for name, values in signed_metrics(predictions, weights).items()}


def signed_metrics(predictions: Predictions, weights: Floats | None = None) -> dict[str, Floats]:
    """As :func:`metrics`, but the gaps in :data:`SIGNED` keep the sign of a=1 minus a=0."""
    if weights is None:
        weights = np.ones((1, len(predictions.label)))
    (found,) = signed_metrics_of_all([predictions], weights)
    return found


def signed_metrics_of_all(
    answers: Sequence[Predictions], weights: Floats, *, auc: bool = True
) -> list[dict[str, Floats]]:
    """:func:`signed_metrics` of several classifiers on the same images, in one pass over the weights.

    Args:
        answers: Their answers; label and sensitive attribute are the same in all.
        weights: ``(R, n)`` how often each image counts.
        auc: Whether to compute the AUC, which takes most of the time.
    """
    label, sensitive = answers[0].label, answers[0].sensitive
    cells = 2 * label + sensitive
    member = np.stack([cells == number for number in range(4)], axis=1).astype(np.float64)
    positive = [member * (each.score > 0)[:, None] for each in answers]
    sums = weights @ np.concatenate([member, *positive], axis=1)
    count = sums[:, :4]
    found = []
    for place, each in enumerate(answers):
        values = _from_cells(count, sums[:, 4 * place + 4 : 4 * place + 8])
        if auc:
            values["auc"] = 100.0 * _auc(each, weights)
        found.append(values)
    return found


def _from_cells(count: Floats, called: Floats) -> dict[str, Floats]:
    """Metrics in percent from images and positive calls in the cells (0,0), (0,1), (1,0), (1,1)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = called / count
        share = (called[:, :2] + called[:, 2:]) / (count[:, :2] + count[:, 2:])
    eo_n, eo_p = rate[:, 0] - rate[:, 1], rate[:, 3] - rate[:, 2]
    right = np.concatenate([1.0 - rate[:, :2], rate[:, 2:]], axis=1)
    correct = np.concatenate([count[:, :2] - called[:, :2], called[:, 2:]], axis=1)
    found = {
        "eo_n": eo_n,
        "eo_p": eo_p,
        "di_gap": _ratio(share[:, 1], share[:, 0]) - 1.0,
        "di_gap_tpr": _ratio(rate[:, 3], rate[:, 2]) - 1.0,
        "dp_gap": share[:, 1] - share[:, 0],
        "eodds_average": (abs(eo_n) + abs(eo_p)) / 2,
        "eodds_max": np.maximum(abs(eo_n), abs(eo_p)),
        "accuracy": correct.sum(1) / count.sum(1),
        "worst_group": right.min(1),
    }
    return {name: 100.0 * values for name, values in found.items()}


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((above == 0) & (below == 0), 1.0, above / below)


def _auc(predictions: Predictions, weights: Floats) -> Floats:
    """Weighted probability that a positive image scores above a negative one; ties count half."""
    levels, rank = np.unique(predictions.score, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    sick = predictions.label[order]
    positive = np.take(weights, order, axis=1)
    negative = positive * (1 - sick)
    positive *= sick
    if len(levels) < len(order):  # equal scores are one step of the sum
        starts = np.searchsorted(rank[order], np.arange(len(levels)))
        positive = np.add.reduceat(positive, starts, axis=1)
        negative = np.add.reduceat(negative, starts, axis=1)
    upto = np.cumsum(negative, axis=1)
    all_of_them = upto[:, -1].copy()
    upto -= 0.5 * negative
    wins = np.einsum("ij,ij->i", positive, upto)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(wins / (positive.sum(1) * all_of_them))


def patient_weights(
    patient: Ints, label: Ints, sensitive: Ints, replicates: int, rng: np.random.Generator
) -> Floats:
    """Bootstrap over patients, stratified by what is known of them.

    Patients are drawn with replacement among those with the same sensitive attribute and the same
    set of disease labels on their images; where every patient has one label, as usual, that is
    within the cells of (y, a). All images of a patient come and go together.

    Returns:
        ``(replicates, n)`` how often each image counts.
    """
    patients, inverse = np.unique(patient, return_inverse=True)
    kinds = np.zeros(len(patients), dtype=np.int64)
    np.bitwise_or.at(kinds, inverse, 1 << (2 * label + sensitive))
    drawn = np.zeros((replicates, len(patients)))
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        chances = np.full(len(members), 1.0 / len(members))
        drawn[:, members] = rng.multinomial(len(members), chances, size=replicates)
    return drawn[:, inverse]
