"""Prior variances over the frequencies of a cosine transform: useful edits are smooth."""

from __future__ import annotations

import torch
from torch import Tensor


def spectrum(side: int, smoothness: float, corner: float) -> Tensor:
    """Prior variances ``(side**2,)``, 1 for the mean, falling with the squared frequency."""
    squares = torch.arange(side, dtype=torch.float64) ** 2
    frequency = (squares[:, None] + squares).flatten()
    return (1.0 + frequency / corner**2) ** -smoothness
