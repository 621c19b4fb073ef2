"""How close edited images stay to the clean ones: PSNR and SSIM.

PSNR is ``-10 log10(mean squared difference)`` for a pixel range of 1. SSIM is the structural
similarity of Wang et al., "Image Quality Assessment: From Error Visibility to Structural
Similarity", IEEE TIP 2004, with their Gaussian window (11 x 11, sigma 1.5) and constants
(K1 = 0.01, K2 = 0.03), averaged over the windows that lie inside the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zobench.problem.images import Images

if TYPE_CHECKING:
    from torch import Tensor

IMAGES = 64
"""Number of test images that are compared, at most: the first ones."""

SIZE, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


@dataclass(frozen=True)
class Fidelity:
    """The likeness of edited and clean images.

    Attributes:
        psnr: Peak signal-to-noise ratio in dB, mean over images; ``None`` for equal images.
        ssim: Structural similarity, mean over images; 1 for equal images.
    """

    psnr: float | None
    ssim: float


def fidelity(images: Images, edit: Tensor) -> Fidelity:
    """The likeness of images with and without an edit ``(1, H, W)``, on at most 64 images."""
    import torch

    clean = images.batch(slice(0, IMAGES)).double()
    edited = clean + edit.double()
    errors = ((edited - clean) ** 2).flatten(1).mean(1)
    if not bool((errors > 0).all()):
        return Fidelity(None, 1.0)
    psnr = float((-10.0 * torch.log10(errors)).mean())
    return Fidelity(psnr, float(ssim(clean, edited).mean()))


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity ``(N,)`` of images ``(N, C, H, W)`` with a pixel range of 1.

    Images that are smaller than the window are compared as one window with equal weights.
    """
    weights = _window(min(SIZE, *one.shape[-2:]), one)
    blurred = [
        _blur(picture, weights) for picture in (one, other, one * one, other * other, one * other)
    ]
    mean_one, mean_other, squares_one, squares_other, products = blurred
    c1, c2 = K1**2, K2**2
    covariance = products - mean_one * mean_other
    spread = squares_one - mean_one**2 + squares_other - mean_other**2
    luminance = (2 * mean_one * mean_other + c1) / (mean_one**2 + mean_other**2 + c1)
    similarity: Tensor = luminance * (2 * covariance + c2) / (spread + c2)
    return similarity.flatten(1).mean(1)


def _window(size: int, like: Tensor) -> Tensor:
    """Weights ``(size,)`` of the window along one axis, with sum 1."""
    import torch

    if size < SIZE:
        return torch.full((size,), 1.0 / size, dtype=like.dtype)
    distance = torch.arange(size, dtype=like.dtype) - (size - 1) / 2
    weights = torch.exp(-(distance**2) / (2 * SIGMA**2))
    return weights / weights.sum()


def _blur(images: Tensor, weights: Tensor) -> Tensor:
    """Weighted means over all windows, as products with two banded matrices.

    PyTorch has no fast convolution in float64, and squares of pixels need float64.
    """
    height, width = images.shape[-2:]
    return _bands(weights, height) @ images @ _bands(weights, width).T


def _bands(weights: Tensor, size: int) -> Tensor:
    """The matrix ``(size - len(weights) + 1, size)`` with the weights along its diagonals."""
    places = size - len(weights) + 1
    bands = weights.new_zeros(places, size)
    for start in range(places):
        bands[start, start : start + len(weights)] = weights
    return bands
