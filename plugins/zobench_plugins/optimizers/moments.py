"""Adam's moments, for optimizers that keep them in their own state (Kingma and Ba 2015)."""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-8


def adam_direction(
    mean: Tensor, square: Tensor, gradient: Tensor, step: int, betas: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """The new moments and Adam's direction; the caller subtracts learning rate x direction.

    Args:
        mean: Mean gradient so far; zeros at step 1.
        square: Mean squared gradient so far; zeros at step 1.
        gradient: The new gradient.
        step: Number of this step, from 1, for the correction of the moments' bias.
        betas: Decay of the two moments.
    """
    mean = betas[0] * mean + (1.0 - betas[0]) * gradient
    square = betas[1] * square + (1.0 - betas[1]) * gradient**2
    corrected = square / (1.0 - betas[1] ** step)
    return mean, square, mean / (1.0 - betas[0] ** step) / (corrected.sqrt() + EPSILON)
