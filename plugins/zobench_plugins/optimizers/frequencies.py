"""Prior variances over the frequencies of a cosine transform: useful edits are smooth."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def spectrum(side: int, smoothness: float, corner: float) -> Tensor:
    """Prior variances ``(side**2,)``, 1 for the mean, falling with the squared frequency."""
    squares = torch.arange(side, dtype=torch.float64) ** 2
    frequency = (squares[:, None] + squares).flatten()
    return (1.0 + frequency / corner**2) ** -smoothness


def directions(prior: Tensor, count: int, rms: float, rng: np.random.Generator) -> Tensor:
    """Coefficients ``(count, P)`` of equal length, drawn by their prior variances ``(P,)``.

    Args:
        prior: The variances, up to a factor.
        count: How many directions.
        rms: Root mean square of the points that they are decoded to.
        rng: The random numbers.
    """
    white = torch.from_numpy(rng.standard_normal((count, len(prior))))
    length = rms * math.sqrt(len(prior))
    return length * torch.nn.functional.normalize(white * prior.sqrt())
