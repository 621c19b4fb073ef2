"""The paper's objective: minus the cross-entropy of the SA head g (Jin et al. 2024, Eq. 1).

g stays as it was fitted on clean embeddings. The objective therefore falls without bound when an
edit shifts all embeddings along g, even if a head that is fitted anew still reads the attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from zobench.contracts.objective import ObjectiveContext

if TYPE_CHECKING:
    from torch import Tensor


class Dne:
    """``-mean CE(a, g(embedding))``."""

    mean_over_images: ClassVar[bool] = True

    def __init__(self, context: ObjectiveContext) -> None:
        self._head = context.head

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        """Values ``(K,)`` of embeddings ``(K, b, D)`` and labels ``(K, b)``."""
        return -self._head.cross_entropy(embeddings, sensitive).mean(-1)
