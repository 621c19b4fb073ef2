"""A linear map from the embeddings of one encoder to those of another, fitted on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SPREAD = 1e-4
"""Least standard deviation of a number that is used, relative to the median one."""

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties to choose from, relative to the number of images."""


@dataclass(frozen=True)
class EmbeddingMap:
    """Ridge regression on standardised embeddings (Hoerl and Kennard, 1970).

    Attributes:
        centre: Mean ``(D,)`` of the embeddings that are mapped.
        spread: Their standard deviation ``(D,)``; infinite for numbers that hardly vary, which are left
            out.
        weight: ``(D, E)``.
        offset: Mean ``(E,)`` of the embeddings that are mapped to.
        explained: Share of the variance that is explained on images which the map was fitted without.
    """

    centre: Tensor
    spread: Tensor
    weight: Tensor
    offset: Tensor
    explained: float

    @classmethod
    def fitted(cls, source: Tensor, target: Tensor) -> EmbeddingMap:
        """The map with the penalty that explains most of left-out images.

        Left-out predictions follow from one decomposition (Allen, "The Relationship between Variable
        Selection and Data Augmentation and a Method for Prediction", 1974); the mean is fitted without
        the image, too, the spread is that of all images.

        Args:
            source: Embeddings ``(n, D)`` of one encoder.
            target: Embeddings ``(n, E)`` of the other, of the same images.
        """
        source, target = source.double(), target.double()
        centre, spread = source.mean(0), source.std(0, correction=0)
        # a number that hardly varies tells nothing here, and would be magnified elsewhere
        spread = torch.where(spread > LEAST_SPREAD * spread.median(), spread, torch.inf)
        features, offset = (source - centre) / spread, target.mean(0)
        wanted = target - offset
        values, vectors = torch.linalg.eigh(features @ features.T)
        turned, total = vectors.T @ wanted, float((wanted**2).sum())
        count = len(features)

        def solved(penalty: float) -> tuple[float, Tensor]:
            ridge = penalty * count
            shrunk = 1.0 / (values.clamp_min(0.0) + ridge)
            dual = vectors @ (shrunk[:, None] * turned)
            # the residual over what is left of the image's own weight; 1 / n of it is the mean's
            own = ridge * ((vectors**2) @ shrunk) - 1.0 / count
            left_out = ridge * dual / own.clamp_min(1e-12)[:, None]
            return 1.0 - float((left_out**2).sum()) / total if total else 0.0, dual

        explained, dual = max(
            (solved(penalty) for penalty in PENALTIES), key=lambda solution: solution[0]
        )
        return cls(centre, spread, features.T @ dual, offset, explained)

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Embeddings ``(n, E)`` float64 of ``(n, D)``; gradients flow."""
        return ((embeddings.double() - self.centre) / self.spread) @ self.weight + self.offset
