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
    order = np.argsort(predictions.score)
    sick = order[predictions.label[order] == 1]
    well = order[predictions.label[order] == 0]
    of_images = np.ascontiguousarray(weights.T)
    positive = of_images[sick]
    lower = np.zeros((len(well) + 1, len(weights)))
    np.cumsum(of_images[well], axis=0, out=lower[1:])
    below, upto = (  # how many healthy images have a lower score; a lower or an equal one
        np.searchsorted(predictions.score[well], predictions.score[sick], side)
        for side in ("left", "right")
    )
    wins = 0.5 * np.einsum("ir,ir->r", positive, lower[below] + lower[upto])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100.0 * wins / (positive.sum(0) * lower[-1]))
