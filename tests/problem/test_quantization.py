"""8-bit rounding against real PNG files, and its effect on small noise."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TinyEncoder

from zobench.problem.images import Images
from zobench.problem.quantization import RoundedEncoder, arrived_edit, pixels, rounded


def grey(count: int = 20, side: int = 64) -> Images:
    rng = np.random.default_rng(0)
    films = rng.integers(20, 230, (count, 1, side, side)).astype(np.uint8)
    nothing = np.zeros(count, dtype=np.int64)
    return Images(films, nothing, nothing, nothing)


def test_rounding_is_what_a_png_file_does() -> None:
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    for image, expected in zip(pixels(images), rounded(images), strict=True):
        file = io.BytesIO()
        Image.fromarray(image[0]).save(file, "PNG")
        arrived = np.asarray(Image.open(file), dtype=np.float32) / np.float32(255)
        assert np.array_equal(arrived, expected[0].numpy())


@pytest.mark.parametrize(("sigma", "share"), [(0.1, 0.0), (0.25, 0.05), (0.5, 0.32), (1.0, 0.62)])
def test_noise_below_half_a_level_vanishes(sigma: float, share: float) -> None:
    """The share of changed pixels is 2 Phi(-0.5 / sigma): noise beyond half a level."""
    noise = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(1)) * sigma / 255
    assert arrived_edit(grey(), noise).changed == pytest.approx(share, abs=0.015)


def test_what_arrives_of_whole_levels_is_all_of_it() -> None:
    sent = arrived_edit(grey(), torch.full((1, 64, 64), 3 / 255))
    assert sent.changed == 1
    assert sent.distortion < 1e-5


def test_what_is_clipped_is_missing() -> None:
    """Pixels are between 20/255 and 230/255, so an edit of -1 only lowers each pixel to 0."""
    sent = arrived_edit(grey(), torch.full((1, 64, 64), -1.0))
    rng = np.random.default_rng(0)
    lost = 1 - rng.integers(20, 230, (20, 1, 64, 64)) / 255
    assert sent.distortion == pytest.approx(float(np.sqrt((lost**2).mean())), rel=1e-6)


def test_colour_is_distorted_as_much_as_grey() -> None:
    films, nothing = grey().pixels, np.zeros(20, dtype=np.int64)
    colour = Images(np.repeat(films, 3, axis=1), nothing, nothing, nothing)
    edit = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(1)) / 255
    wanted = arrived_edit(grey(), edit)
    assert arrived_edit(colour, edit).changed == wanted.changed
    assert arrived_edit(colour, edit).distortion == pytest.approx(wanted.distortion)


def test_an_encoder_behind_rounding_says_so_and_sees_levels() -> None:
    inner = TinyEncoder()
    encoder = RoundedEncoder(inner)
    assert (encoder.spec.exact_floats, encoder.spec.differentiable) == (False, False)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoder.embed(images), inner.embed((images * 255).round() / 255))
    assert not torch.equal(encoder.embed(images), inner.embed(images))
