"""Asks an objective for its values, and checks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zobench.contracts.objective import Objective
from zobench.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor


def checked_values(
    objective: Objective, name: str, embeddings: Tensor, sensitive: Tensor, label: Tensor
) -> Tensor:
    """The values ``(K,)`` of K points, without the norm's term.

    The objective gets copies, so that an objective that overwrites its arguments harms nothing else.

    Args:
        objective: The objective.
        name: Its name, for messages.
        embeddings: ``(K, b, D)``, through which gradients may flow.
        sensitive: The sensitive attribute a, ``(K, b)``.
        label: The disease label y, ``(K, b)``.

    Raises:
        PluginError: The objective gave something else than finite values ``(K,)`` float64, or values
            without a gradient where one is wanted.
    """
    import torch

    count = len(embeddings)
    values = objective.values(embeddings.clone(), sensitive.clone(), label.clone())
    rule = f"objective {name!r}: values() must give a finite float64 tensor ({count},)"
    if not isinstance(values, torch.Tensor):
        raise PluginError(f"{rule}, but gave {type(values).__name__}")
    if values.shape != (count,) or values.dtype != torch.float64:
        kind = str(values.dtype).removeprefix("torch.")
        raise PluginError(f"{rule}, but gave {tuple(values.shape)} of type {kind}")
    if not bool(torch.isfinite(values).all()):
        raise PluginError(f"{rule}, but gave NaN or infinity although the embeddings are finite")
    if torch.is_grad_enabled() and embeddings.requires_grad and not values.requires_grad:
        raise PluginError(
            f"objective {name!r}: values() must be differentiable in the embeddings, but gave a tensor "
            "without a gradient; compute it with torch, without detach() or numpy"
        )
    return values
