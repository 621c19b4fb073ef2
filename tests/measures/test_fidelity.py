"""PSNR and SSIM against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny import TinyDataset

from zobench.measures.fidelity import IMAGES, fidelity, ssim
from zobench.problem.images import Images, load_images


def films(count: int, channels: int = 1, side: int = 40) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, channels, side, side)).astype(np.uint8)
    nothing = np.zeros(count, dtype=np.int64)
    return Images(pixels, nothing, nothing, np.arange(count))


@pytest.mark.parametrize("size", [0.01, 0.3])
def test_both_agree_with_scikit_image(size: float) -> None:
    images = films(3)
    edit = size * torch.randn(1, 40, 40, generator=torch.Generator().manual_seed(1))
    clean = images.batch(slice(0, 3)).double()
    edited = clean + edit.double()
    pairs = [(one[0].numpy(), other[0].numpy()) for one, other in zip(clean, edited, strict=True)]
    psnr = np.mean([peak_signal_noise_ratio(*pair, data_range=1.0) for pair in pairs])
    whole = [
        structural_similarity(
            *pair,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in pairs
    ]
    found = fidelity(images, edit)
    assert found.psnr == pytest.approx(psnr, rel=1e-9)
    assert found.ssim == pytest.approx(np.mean(whole), rel=1e-6)


def test_equal_images_are_equal_and_only_the_first_images_are_compared() -> None:
    images = films(IMAGES + 5)
    assert fidelity(images, torch.zeros(1, 40, 40)) == fidelity(
        images.part(slice(0, 3)), torch.zeros(1, 40, 40)
    )
    nothing = fidelity(images, torch.zeros(1, 40, 40))
    assert (nothing.psnr, nothing.ssim) == (None, 1.0)
    edit = torch.full((1, 40, 40), 0.1)
    assert fidelity(images, edit) == fidelity(images.part(slice(0, IMAGES)), edit)


def test_images_smaller_than_the_window_are_one_window() -> None:
    clean = load_images(TinyDataset(), np.arange(4)).batch(slice(0, 4)).double()
    assert torch.allclose(ssim(clean, clean), torch.ones(4, dtype=torch.float64))
    assert (ssim(clean, 1 - clean) < 0.9).all()
