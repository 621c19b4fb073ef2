"""Linear heads as plugins see them; the names of their training protocols and roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

HeadProtocol = Literal["converged", "paper"]
PROTOCOLS: tuple[HeadProtocol, ...] = ("converged", "paper")
"""The training protocols; :mod:`zobench.problem.heads` describes them."""

Role = Literal["sensitive", "disease"]
"""The attribute that a head predicts."""


class LinearHead(Protocol):
    """A linear classifier of two classes, as :class:`zobench.problem.heads.Head` implements it."""

    @property
    def weight(self) -> NDArray[np.float64]:
        """The weights ``(2, D)``; the logits are ``embedding @ weight.T + bias``."""
        ...

    @property
    def bias(self) -> NDArray[np.float64]:
        """The biases ``(2,)``."""
        ...

    def score(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logit of class 1 minus logit of class 0, ``(n,)``, of embeddings ``(n, D)``."""
        ...

    def cross_entropy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy ``(...)`` float64 of embeddings ``(..., D)`` and classes ``(...)``."""
        ...
