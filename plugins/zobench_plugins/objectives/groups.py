"""Compares the two groups of the sensitive attribute within each disease label."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 2
"""Least images of each group in a cell; with fewer, the cell says nothing about separability."""

LEAST_IMAGES = 2 * LEAST
"""Least images of a point: both groups of one cell."""


def within_cells(
    compare: Callable[[Tensor, Tensor], Tensor],
    embeddings: Tensor,
    sensitive: Tensor,
    label: Tensor,
) -> Tensor:
    """The mean over disease labels of a comparison of the groups a = 0 and a = 1.

    A disease label with fewer than two images of a group, or with equal embeddings throughout, is
    left out. A point without any other label has the value 0: it shows no separability.

    Args:
        compare: Compares embeddings ``(n, D)`` and ``(m, D)`` float64; returns a number.
        embeddings: ``(K, b, D)``.
        sensitive: a, ``(K, b)``.
        label: y, ``(K, b)``.

    Returns:
        ``(K,)`` float64.
    """
    import torch

    values = []
    for vectors, a, y in zip(embeddings.double(), sensitive, label, strict=True):
        distances = []
        for disease in (0, 1):
            groups = [vectors[(y == disease) & (a == group)] for group in (0, 1)]
            constant = bool((torch.cat(groups) == torch.cat(groups)[:1]).all())
            if min(map(len, groups)) >= LEAST and not constant:
                distances.append(compare(*groups))
        none = vectors.sum() * 0.0  # keeps the graph, so that the gradient is 0
        values.append(torch.stack(distances).mean() if distances else none)
    return torch.stack(values)
