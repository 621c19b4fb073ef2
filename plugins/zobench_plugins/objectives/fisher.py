"""The linear separability of the two groups within disease cells: Fisher's ratio with shrinkage.

For each disease label y, the groups a = 0 and a = 1 have the mean difference d and the pooled
covariance S of the minibatch. Fisher's ratio (Fisher, "The Use of Multiple Measurements in
Taxonomic Problems", 1936), maximised over directions, is ``d' S^-1 d``. With fewer images than
dimensions S is singular, so it is shrunk to a multiple of the identity, ``(1 - s) S + s m I`` with
m the mean eigenvalue (Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
covariance matrices", 2004; the weight s is a parameter here). The value is the mean over both cells.

Neither a shift of all embeddings nor a change of their scale changes the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zobench.contracts.objective import ObjectiveContext
from zobench.contracts.parameters import parameter

from .groups import LEAST_IMAGES, within_cells

if TYPE_CHECKING:
    from torch import Tensor


LEAST = 1e-9
"""Least mean eigenvalue, relative to the mean square of the difference: groups without any spread
have a large and finite ratio."""


@dataclass(frozen=True)
class FisherParameters:
    """The shrinkage."""

    shrinkage: float = parameter(0.5, "weight s of the identity", low=0.001, high=1.0)


class Fisher:
    """The largest ratio of squared mean difference to variance, over all directions."""

    mean_over_images: ClassVar[bool] = False
    least_images: ClassVar[int] = LEAST_IMAGES

    def __init__(self, context: ObjectiveContext, parameters: FisherParameters) -> None:
        self._shrinkage = parameters.shrinkage

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        """Values ``(K,)`` of embeddings ``(K, b, D)`` and labels ``(K, b)``, at least 0."""
        return within_cells(self._ratio, embeddings, sensitive, label)

    def _ratio(self, group: Tensor, other: Tensor) -> Tensor:
        """Fisher's ratio of embeddings ``(n, D)`` and ``(m, D)``, through their Gram matrix."""
        import torch

        means = group.mean(0), other.mean(0)
        difference = means[1] - means[0]
        deviations = torch.cat([group - means[0], other - means[1]])
        count, dimensions = deviations.shape
        size = (deviations**2).sum() / (count * dimensions)  # the mean eigenvalue of S
        size = size.clamp(min=LEAST * float((difference.detach() ** 2).mean()))
        ridge, part = self._shrinkage * size, 1.0 - self._shrinkage
        # Woodbury: (r I + p X'X / n)^-1 d = (d - X' (n r / p I + X X')^-1 X d) / r
        if part == 0:
            return torch.dot(difference, difference) / ridge
        gram = deviations @ deviations.T
        eye = torch.eye(count, dtype=gram.dtype, device=gram.device)
        along = deviations @ difference
        solved = torch.linalg.solve(gram + count * ridge / part * eye, along)
        return (torch.dot(difference, difference) - torch.dot(along, solved)) / ridge
