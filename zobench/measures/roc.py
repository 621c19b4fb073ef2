"""The area under the ROC curve, on the test images and on resamples of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Predictions

Floats = NDArray[np.float64]


def weighted_auc(predictions: Predictions, weights: Floats) -> Floats:
    """Weighted probability that a positive image scores above a negative one; ties count half.

    Args:
        predictions: The classifier's predictions.
        weights: ``(R, n)`` how often each image counts.

    Returns:
        ``(R,)`` in percent.
    """
    levels, rank = np.unique(predictions.score, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    sick = predictions.label[order]
    positive = np.take(weights, order, axis=1)
    negative = positive * (1 - sick)
    positive *= sick
    if len(levels) < len(order):  # add up the weights of images with equal scores
        starts = np.searchsorted(rank[order], np.arange(len(levels)))
        positive = np.add.reduceat(positive, starts, axis=1)
        negative = np.add.reduceat(negative, starts, axis=1)
    upto = np.cumsum(negative, axis=1)
    all_of_them = upto[:, -1].copy()
    upto -= 0.5 * negative
    wins = np.einsum("ij,ij->i", positive, upto)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100.0 * wins / (positive.sum(1) * all_of_them))
