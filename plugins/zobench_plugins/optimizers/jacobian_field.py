"""A Gaussian process over an encoder's Jacobians, one per image, learned from one-image probes.

The Jacobian J_i ``(P, D)`` of image i's embedding with respect to the P coefficients of an edit
differs between images. Before any probe, the slopes of one embedding number at images i and j have
the covariance ``k(i, j) * diag(prior)``, where k is 1 (the part that all images share) plus a
Gaussian kernel of the clean embeddings. A probe of image i along u measures ``u @ J_i``, and all
posterior means follow from one linear system (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, Eq. 2.23).

A regression with one Jacobian for all images takes the differences between images for noise. The
slope of a refitted head's error weighs the Jacobians with numbers whose sum is 0, so only these
differences contribute to it.
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
    """The prior of the Jacobians, and the posterior means of weighted sums of them.

    Attributes:
        clean: The clean embeddings ``(N, D)``, which the kernel compares images by.
        prior: Variance of the slope along each coefficient, ``(P,)`` float64, up to a factor.
        noise: Variance of a probe's residual, relative to the mean prior variance of a probe.
        scale: Squared distance at which the kernel has fallen to 1/e.
    """

    clean: Tensor
    prior: Tensor
    noise: float
    scale: float

    @classmethod
    def of(cls, clean: Tensor, prior: Tensor, noise: float) -> JacobianField:
        """The field of images with clean embeddings ``(N, D)``; the scale is the median distance."""
        sample = clean[_sample(len(clean))]
        return cls(clean, prior, noise, float(_squared_distances(sample, sample).median()) or 1.0)

    def covariance(self, left: Rows, right: Rows) -> Tensor:
        """Covariances ``(n, m)`` between the Jacobians of images, from 1 to 2."""
        distances = _squared_distances(self.clean[left], self.clean[right])
        return distances.div_(-self.scale).exp_().add_(1.0)

    def mean(self, probes: Tensor, rows: Rows, changes: Tensor) -> Tensor:
        """The posterior mean ``(P, D)`` over all images of the Jacobian.

        Args:
            probes: Changes of the coefficients, ``(n, P)``; their type is that of the large products.
            rows: The image that each was measured on, ``(n,)``.
            changes: The change of its embedding, ``(n, D)``.
        """
        share = self.covariance(_sample(len(self.clean)), rows).mean(0)
        solved = self._solved(self.covariance(rows, rows), probes, changes.double())
        weighted = share[:, None] * solved
        return self.prior[:, None] * (probes.T @ weighted.to(probes.dtype)).double()

    def slope(self, probes: Tensor, rows: Rows, changes: Tensor, weights: Tensor) -> Tensor:
        """The posterior mean ``(P,)`` of the weighted mean over the probed images of J_i @ head.

        Args:
            probes: Changes of the coefficients, ``(n, P)``; their type is that of the large products.
            rows: The image that each was measured on, ``(n,)``.
            changes: The change of the head's score of that image, ``(n,)``.
            weights: The weight of each probed image, ``(n,)``.
        """
        between = self.covariance(rows, rows)
        share = between @ weights / len(rows)
        solved = self._solved(between, probes, changes[:, None])[:, 0]
        return self.prior * (probes.T @ (share * solved).to(probes.dtype)).double()

    def _solved(self, between: Tensor, probes: Tensor, changes: Tensor) -> Tensor:
        """The inverse covariance of the measured changes ``(n, m)``, times these changes.

        Args:
            between: Covariances ``(n, n)`` between the Jacobians of the probed images.
            probes: Changes of the coefficients, ``(n, P)``.
            changes: What was measured, ``(n, m)``.
        """
        scaled = probes * self.prior.sqrt().to(probes.dtype)
        covariance = (scaled @ scaled.T) * between
        covariance.diagonal().add_(self.noise * covariance.diagonal().mean())
        return torch.cholesky_solve(changes, torch.linalg.cholesky(covariance))


def _sample(count: int) -> Rows:
    return np.arange(0, count, -(-count // SAMPLE))


def _squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Squared distances ``(n, m)``; of embeddings that are all equal exactly 0."""
    centre = right[:1].double()
    left, right = left.double() - centre, right.double() - centre
    squares = torch.addmm((right**2).sum(1), left, right.T, alpha=-2.0)
    return squares.add_((left**2).sum(1)[:, None]).clamp_min_(0.0)
