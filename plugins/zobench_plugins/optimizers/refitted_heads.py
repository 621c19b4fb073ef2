"""Refitted heads in closed form, on embeddings that are bought already, at no query.

Both functions use linear regression with a penalty on standardised embeddings (Hoerl and Kennard, "Ridge
Regression", 1970). Its solution and its left-out predictions are closed formulas; the heads that
score a run are logistic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

HEAD_PENALTY = 0.3
"""Weight of the squared head beside the mean squared error, for the SA head whose slope is taken."""

LEFT_OUT_PENALTY = 1.0
"""The same for heads that predict the image that they are fitted without."""

CHANCE = 0.5
"""Share of wrong predictions of a head that reads nothing."""

NARROWEST = 1e-12
"""Smallest spread of predictions within a cell; where embeddings are all the same it is 0."""

Labels = NDArray[np.int64]


def residuals(embeddings: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A refitted head, and its weighted residuals.

    Args:
        embeddings: ``(n, D)`` float64.
        target: The targets ``(n,)`` of -1 and 1.
        weights: Weights of the images of mean 1, ``(n,)``.

    Returns:
        The head ``(D,)``, and ``weights * (target - prediction)``, ``(n,)``, whose sum is 0.
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


@dataclass(frozen=True)
class LeftOut:
    """Rates of a refitted disease head on images that it was fitted without, as shares.

    Attributes:
        gap: Mean over the disease labels of the difference of P(prediction = 1) between the groups.
        error: Share of wrong predictions, with equal weight for each cell of disease and attribute; at
            most a half. Where there is nothing to read, left-out predictions are wrong more often.
    """

    gap: float
    error: float


def left_out_rates(
    embeddings: Tensor, label: Labels, sensitive: Labels, weights: Tensor
) -> LeftOut | None:
    """The rates that a disease head trained on such embeddings would have.

    Every image is predicted by a head that is fitted without it (Rasmussen and Williams, "Gaussian
    Processes for Machine Learning", 2006, Eq. 5.12); the offset is penalised like a weight. The
    predictions of each cell of disease and attribute are taken as normal with a common variance
    (the binormal model; Green and Swets 1966), since rates counted in a few dozen images are much
    noisier than those of fitted normals.

    Args:
        embeddings: ``(n, D)`` float64.
        label: The disease y, ``(n,)``.
        sensitive: The attribute a, ``(n,)``.
        weights: Weights that give the cells the shares that they have where the head is trained.

    Returns:
        The rates; ``None`` where a cell has no image.
    """
    features, _ = _standardised(embeddings)
    count = len(features)
    target = torch.from_numpy(2.0 * label - 1.0)
    products = features @ features.T + 1.0  # 1: the offset
    products.diagonal().add_(count * LEFT_OUT_PENALTY / weights)
    inverse = torch.linalg.inv(products)
    scores = (target - (inverse @ target) / inverse.diagonal()).numpy()
    cells = [scores[(label == y) & (sensitive == a)] for y in (0, 1) for a in (0, 1)]
    if any(len(cell) == 0 for cell in cells):
        return None
    within = max(NARROWEST, float(np.sqrt(np.mean([cell.var() for cell in cells]))))
    healthy0, healthy1, sick0, sick1 = ndtr(np.array([cell.mean() for cell in cells]) / within)
    gap = (abs(healthy1 - healthy0) + abs(sick1 - sick0)) / 2.0
    error = (healthy0 + healthy1 + 2.0 - sick0 - sick1) / 4.0
    return LeftOut(float(gap), min(CHANCE, float(error)))


def _standardised(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    spread = embeddings.std(0)
    spread = torch.where(spread > 0, spread, 1.0)
    return (embeddings - embeddings.mean(0)) / spread, spread
