"""One embedding an image from tokens, or from the positions of a feature map."""

from __future__ import annotations

from torch import Tensor


def pooled(answer: Tensor, pool: str = "auto") -> Tensor:
    """An embedding ``(N, D)`` from a network's answer.

    Args:
        answer: ``(N, D)``, tokens ``(N, T, D)``, or a feature map ``(N, D, H, W)``.
        pool: ``cls`` takes the first token; ``mean`` and ``auto`` take the mean over tokens or
            positions.
    """
    if answer.ndim == 4:
        answer = answer.flatten(2).transpose(1, 2)
    if answer.ndim != 3:
        return answer
    return answer[:, 0] if pool == "cls" else answer.mean(1)
