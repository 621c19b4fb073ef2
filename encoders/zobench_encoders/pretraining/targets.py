"""The prediction targets of the pre-training: normalised patches and oriented gradients.

Histograms of oriented gradients as targets of masked prediction: Wei et al. 2022, "Masked Feature
Prediction for Self-Supervised Visual Pre-Training". Both stages use these histograms: the masked
stage per patch, the describing stage over the whole film. The describing stage is needed because
the mean of the tokens after plain masked autoencoding hardly encodes positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..architecture import GRID, PATCH_SIZE

ORIENTATIONS = 8
COARSE = GRID // 2
DESCRIPTION = COARSE * COARSE * ORIENTATIONS + GRID * GRID


def normalised_patches(images: Tensor) -> Tensor:
    """Patches ``(B, GRID**2, PATCH_SIZE**2)`` of zero mean and unit variance (He et al. 2022)."""
    patches = F.unfold(images, PATCH_SIZE, stride=PATCH_SIZE).transpose(1, 2)
    mean = patches.mean(-1, keepdim=True)
    variance = patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-4).sqrt()


def oriented_gradients(images: Tensor) -> Tensor:
    """Gradient energy ``(B, ORIENTATIONS, GRID, GRID)`` by direction, unsigned, not normalised."""
    half = F.avg_pool2d(images, 2)
    padded = F.pad(half, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    strength = torch.hypot(across, down)
    direction = (torch.atan2(down, across) % math.pi) * (ORIENTATIONS / math.pi)
    cells = []
    for index in range(ORIENTATIONS):
        away = (direction - index + ORIENTATIONS / 2) % ORIENTATIONS - ORIENTATIONS / 2
        cells.append(F.avg_pool2d((1.0 - away.abs()).clamp(min=0) * strength, PATCH_SIZE // 2))
    return torch.cat(cells, dim=1)


def _unit(cells: Tensor) -> Tensor:
    unit: Tensor = cells / (cells.norm(dim=1, keepdim=True) + 1e-3)
    return unit


def patch_gradients(images: Tensor) -> Tensor:
    """Histograms of unit length, ``(B, GRID**2, ORIENTATIONS)``."""
    histograms: Tensor = _unit(oriented_gradients(images)).flatten(2).transpose(1, 2)
    return histograms


def description(images: Tensor) -> Tensor:
    """The whole film in ``(B, DESCRIPTION)`` numbers: gradients on 7x7 cells, grey on 14x14."""
    gradients = _unit(F.avg_pool2d(oriented_gradients(images), 2)).flatten(1)
    grey = F.avg_pool2d(images, PATCH_SIZE).flatten(1)
    grey = (grey - grey.mean(1, keepdim=True)) / (grey.std(1, keepdim=True) + 1e-3)
    return torch.cat([gradients, grey], dim=1)
