"""A linear map from the embeddings of one encoder to those of another, fitted on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties to choose from, relative to the number of images."""


@dataclass(frozen=True)
class EmbeddingMap:
    """Ridge regression on standardised embeddings (Hoerl and Kennard, 1970).

    Attributes:
        centre: Mean ``(D,)`` of the embeddings that are mapped.
        spread: Their standard deviation ``(D,)``; 1 where it is 0.
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

        Left-out predictions follow from one decomposition (Rasmussen and Williams, "Gaussian Processes
        for Machine Learning", 2006, Eq. 5.12).

        Args:
            source: Embeddings ``(n, D)`` of one encoder.
            target: Embeddings ``(n, E)`` of the other, of the same images.
        """
        source, target = source.double(), target.double()
        centre, spread = source.mean(0), source.std(0)
        spread = torch.where(spread > 0, spread, 1.0)
        features, offset = (source - centre) / spread, target.mean(0)
        wanted = target - offset
        values, vectors = torch.linalg.eigh(features @ features.T)
        turned, total = vectors.T @ wanted, float((wanted**2).sum())

        def solved(penalty: float) -> tuple[float, Tensor]:
            shrunk = 1.0 / (values.clamp_min(0.0) + penalty * len(features))
            dual = vectors @ (shrunk[:, None] * turned)
            left_out = dual / ((vectors**2) @ shrunk)[:, None]
            return 1.0 - float((left_out**2).sum()) / total if total else 0.0, dual

        explained, dual = max((solved(each) for each in PENALTIES), key=lambda each: each[0])
        return cls(centre, spread, features.T @ dual, offset, explained)

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Embeddings ``(n, E)`` float64 of ``(n, D)``; gradients flow."""
        return ((embeddings.double() - self.centre) / self.spread) @ self.weight + self.offset
