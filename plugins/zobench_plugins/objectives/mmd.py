"""The kernel distance of the two groups' embeddings within disease cells.

The unbiased estimate of the squared maximum mean discrepancy (Gretton et al., "A Kernel Two-Sample
Test", JMLR 2012, Eq. 3), with Gaussian kernels of several widths around the median distance of the
minibatch, which is the usual choice (ibid., section 8). The value is the mean over both disease
labels; it can be negative where the groups are alike. A shift or a change of scale of all
embeddings does not change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zobench.contracts.objective import ObjectiveContext
from zobench.contracts.parameters import parameter

from .groups import LEAST_IMAGES, within_cells

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (0.5, 1.0, 2.0)
"""Widths of the kernels, as multiples of the median distance."""


@dataclass(frozen=True)
class MmdParameters:
    """The width of the kernels."""

    width: float = parameter(1.0, "factor on the kernels' widths", low=0.01, high=100.0)


class Mmd:
    """The squared maximum mean discrepancy of the groups."""

    mean_over_images: ClassVar[bool] = False
    least_images: ClassVar[int] = LEAST_IMAGES

    def __init__(self, context: ObjectiveContext, parameters: MmdParameters) -> None:
        self._width = parameters.width

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        """Values ``(K,)`` of embeddings ``(K, b, D)`` and labels ``(K, b)``."""
        return within_cells(self._discrepancy, embeddings, sensitive, label)

    def _discrepancy(self, group: Tensor, other: Tensor) -> Tensor:
        """The estimate for embeddings ``(n, D)`` and ``(m, D)``, n and m at least 2."""
        import torch

        both = torch.cat([group, other])
        both = both - both.mean(0).detach()  # distances of large, nearly equal numbers cancel
        norms = (both**2).sum(1)
        squares = (norms[:, None] + norms - 2.0 * both @ both.T).clamp(min=0.0)
        apart = ~torch.eye(len(both), dtype=torch.bool, device=both.device)
        positive = squares[apart & (squares > 0)]
        if not len(positive):
            return squares.sum() * 0.0  # nothing tells the embeddings apart
        median = positive.median()
        n, m = len(group), len(other)
        total = squares.new_zeros(())
        for width in WIDTHS:
            kernel = torch.exp(-squares / (2.0 * (width * self._width) ** 2 * median))
            within = [
                block.sum() - block.diagonal().sum() for block in (kernel[:n, :n], kernel[n:, n:])
            ]
            total = total + within[0] / (n * (n - 1)) + within[1] / (m * (m - 1))
            total = total - 2.0 * kernel[:n, n:].mean()
        return total / len(WIDTHS)
