"""What heads that are trained anew read from embeddings that are bought already, at no query.

Both functions use linear regression with a penalty on standardised embeddings (Hoerl and Kennard, "Ridge
Regression", 1970), whose solution and left-out predictions are closed formulas, where the heads that
score a run are logistic.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

HEAD_PENALTY = 0.3
"""Weight of the squared head beside the mean squared error, for a head that is looked through."""

LEFT_OUT_PENALTY = 1.0
"""The same for heads that predict the image that they are fitted without."""

CELLS = 4

Labels = NDArray[np.int64]


def residuals(embeddings: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A head refitted on embeddings, and what it leaves unexplained.

    Args:
        embeddings: ``(n, D)`` float64.
        target: The targets ``(n,)`` of -1 and 1.
        weights: Weights of the images of mean 1, ``(n,)``.

    Returns:
        The head ``(D,)`` and the weighted residuals ``weights * (target - prediction)``, ``(n,)``.
    """
    features, spread = _standardised(embeddings)
    count, dimension = features.shape
    centre = (weights[:, None] * features).mean(0)
    offset = (weights * target).mean()
    centred, wanted = features - centre, target - offset
    if dimension <= count:
        moments = centred.T @ (weights[:, None] * centred) / count
        moments.diagonal().add_(HEAD_PENALTY)
        head = torch.linalg.solve(moments, centred.T @ (weights * wanted) / count)
    else:  # the same head by the smaller of the two systems
        products = centred @ centred.T / count
        products.diagonal().add_(HEAD_PENALTY / weights)
        head = centred.T @ torch.linalg.solve(products, wanted) / count
    return head / spread, weights * (wanted - centred @ head)


def left_out_gap(embeddings: Tensor, label: Labels, sensitive: Labels, weights: Tensor) -> float:
    """The gap of equalised odds that a disease head trained anew would have, as a share.

    Every image is predicted by a head that is fitted without it (Rasmussen and Williams, "Gaussian
    Processes for Machine Learning", 2006, Eq. 5.12). The predictions of each cell of disease and
    attribute are taken as normal with a common variance (the binormal model; Green and Swets 1966),
    since rates counted in a few dozen images are much noisier than those of fitted normals.

    Args:
        embeddings: ``(n, D)`` float64.
        label: The disease y, ``(n,)``.
        sensitive: The attribute a, ``(n,)``.
        weights: Weights that give the cells the shares that they have where the head is trained.

    Returns:
        The gap, or infinity where a cell has no image.
    """
    features, _ = _standardised(embeddings)
    count = len(features)
    target = torch.from_numpy(2.0 * label - 1.0)
    products = features @ features.T + 1.0  # 1: the offset
    products.diagonal().add_(count * LEFT_OUT_PENALTY / weights)
    inverse = torch.linalg.inv(products)
    scores = (target - (inverse @ target) / inverse.diagonal()).numpy()
    cells = [scores[2 * label + sensitive == cell] for cell in range(CELLS)]
    if any(len(each) == 0 for each in cells):
        return float("inf")
    means = [each.mean() for each in cells]
    within = np.sqrt(np.mean([each.var() for each in cells]))
    rates = ndtr(np.array(means) / max(within, 1e-300))
    return float((abs(rates[1] - rates[0]) + abs(rates[3] - rates[2])) / 2.0)


def _standardised(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    spread = embeddings.std(0)
    spread = torch.where(spread > 0, spread, 1.0)
    return (embeddings - embeddings.mean(0)) / spread, spread
