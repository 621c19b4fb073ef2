"""The client data: what the client of an embedding API knows beside the answers to its queries.

Optimizers of the feedback levels ``embeddings`` and ``gradient`` get it as
:attr:`zobench.contracts.OptimizerContext.client`. The level ``value`` has none. Test images, the
dataset and the encoder are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dataset import Rows
from .head import LinearHead

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Client:
    """The training images of a run as their owner knows them: N images, embeddings of D numbers.

    All tensors are copies on the CPU, so an optimizer that changes them changes no result.

    Attributes:
        head: The SA head g, fitted on the clean embeddings.
        clean: The clean embeddings ``(N, D)`` float32, paid for once as ``setup``.
        sensitive: The sensitive attribute a, ``(N,)`` int64 of 0 and 1.
        label: The disease label y, ``(N,)`` int64 of 0 and 1.
        pixels: Returns the clean images ``(n, C, H, W)`` float32 in [0, 1] of rows ``(n,)``.
        values: The objective as a function of embeddings ``(K, b, D)`` and their rows ``(K, b)``:
            one value per point, ``(K,)`` float64, without the norm's term. Gradients flow to the
            embeddings. A call costs no query.
        penalty: lambda, the weight of the edit's norm, which an answer's values include.
    """

    head: LinearHead
    clean: Tensor
    sensitive: Tensor
    label: Tensor
    pixels: Callable[[Rows], Tensor]
    values: Callable[[Tensor, Rows], Tensor]
    penalty: float

    def __len__(self) -> int:
        """N, the number of training images."""
        return len(self.clean)
