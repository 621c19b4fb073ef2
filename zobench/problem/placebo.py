"""Placebos: edits without content, of the same size and the same spectrum as an edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def placebo(edit: Tensor, rng: np.random.Generator) -> Tensor:
    """An edit with the Fourier magnitudes and the norm of ``edit``, and random phases.

    These are the surrogate data of Theiler et al., "Testing for nonlinearity in time series: the
    method of surrogate data", Physica D 1992, in two dimensions. The phases are those of white
    noise, so that the result is real.

    Args:
        edit: The edit ``(1, H, W)`` float32.
        rng: Draws the phases.
    """
    import torch

    height, width = edit.shape[-2:]
    noise = np.fft.rfft2(rng.standard_normal((height, width)))
    phases = noise / np.abs(noise)
    magnitudes = np.abs(np.fft.rfft2(edit[0].double().numpy()))
    drawn = np.fft.irfft2(magnitudes * phases, s=(height, width))
    size, wanted = float(np.linalg.norm(drawn)), float(edit.double().norm())
    if size > 0:
        drawn *= wanted / size  # equal up to rounding already
    return torch.from_numpy(drawn[None]).float()
