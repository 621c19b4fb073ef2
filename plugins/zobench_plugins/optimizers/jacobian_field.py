"""A Gaussian process over an encoder's Jacobians, one per image, learned from one-image probes.

The Jacobian J_i ``(P, D)`` of image i's embedding with respect to the P coefficients of an edit
differs between images. Before any probe, the entries of one embedding number at images i and j have
the covariance ``k(i, j) * diag(prior)``, where k is 1 (the part that all images share) plus a
Gaussian kernel of the clean embeddings. A probe of image i along u measures ``u @ J_i``, and all
posterior means follow from one linear system (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, Eqs. 2.23 and 9.1 on gradients).

A regression that knows only the mean Jacobian sees the differences between images as noise. The
slope of a refitted head's error has weights that sum to about 0, so these differences are all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE = 512
"""Images that the kernel's length scale and the mean over all images are computed from, at most."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class JacobianField:
    """The prior of the Jacobians, and what probes tell of weighted sums of them.

    Attributes:
        features: The clean embeddings ``(N, D)`` float64, which the kernel compares images by.
        prior: Variance of the slope along each coefficient, ``(P,)`` float64, up to a factor.
        noise: Variance of a probe's residual, relative to the variance of its effect.
        scale: Squared distance at which the kernel has fallen to 1/e.
    """

    features: Tensor
    prior: Tensor
    noise: float
    scale: float

    @classmethod
    def of(cls, clean: Tensor, prior: Tensor, noise: float) -> JacobianField:
        """The field of images with clean embeddings ``(N, D)``; the scale is the median distance."""
        features = clean.double()
        some = features[:: max(1, len(features) // SAMPLE)]
        scale = float((torch.cdist(some, some) ** 2).median()) or 1.0
        return cls(features, prior, noise, scale)

    def alike(self, left: Rows, right: Rows) -> Tensor:
        """Covariances ``(n, m)`` between the Jacobians of images."""
        distances = torch.cdist(self.features[left], self.features[right]) ** 2
        return 1.0 + torch.exp(-distances / self.scale)

    def mean(self, probes: Tensor, rows: Rows, changes: Tensor) -> Tensor:
        """The posterior mean ``(P, D)`` over all images of the Jacobian.

        Args:
            probes: Changes of the coefficients, ``(n, P)``.
            rows: The image that each was measured on, ``(n,)``.
            changes: The change of its embedding, ``(n, D)``.
        """
        count = len(self.features)
        some = np.arange(count)[:: max(1, count // SAMPLE)]
        share = self.alike(some, rows).mean(0)
        weighted = share[:, None] * self._weights(probes, rows, changes)
        return self.prior[:, None] * (probes.T @ weighted)

    def slope(self, probes: Tensor, rows: Rows, changes: Tensor, weights: Tensor) -> Tensor:
        """The posterior mean ``(P,)`` of the weighted mean over the probed images of J_i @ head.

        Args:
            probes: Changes of the coefficients, ``(n, P)``.
            rows: The image that each was measured on, ``(n,)``.
            changes: The change of the head's score of that image, ``(n,)``.
            weights: The weight of each probed image, ``(n,)``.
        """
        share = self.alike(rows, rows) @ weights / len(rows)
        return self.prior * (probes.T @ (share * self._weights(probes, rows, changes)))

    def _weights(self, probes: Tensor, rows: Rows, changes: Tensor) -> Tensor:
        covariance = self.alike(rows, rows) * ((probes * self.prior) @ probes.T)
        covariance.diagonal().add_(self.noise * covariance.diagonal().mean())
        factor = torch.linalg.cholesky(covariance)
        columns = changes if changes.ndim == 2 else changes[:, None]
        return torch.cholesky_solve(columns, factor).reshape(changes.shape)
