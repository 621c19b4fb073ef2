"""The places and colours of a canvas."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from numpy.typing import NDArray
from PIL import Image

from zobench.runs.canvas import BAR, GAP, Canvas

DPI, HEIGHT = 100, 3.0
LEFT, BOTTOM, SIDE = 0.5, 0.5, 2.0


def drawn(canvas: Canvas) -> NDArray[Any]:
    """Pixels ``(H, W, 3)``, the lowest row first."""
    file = io.BytesIO()
    canvas.figure.savefig(file, format="png", dpi=DPI)
    return np.asarray(Image.open(file).convert("RGB"))[::-1]


@pytest.mark.parametrize("number", [0.002, 0.03, 0.5])
def test_a_bar_has_the_colour_of_a_picture_at_the_height_of_its_number(number: float) -> None:
    scale, canvas = LogNorm(0.001, 1), Canvas(4, HEIGHT, SIDE)
    canvas.picture(np.full((8, 8), number), LEFT, BOTTOM, cmap="magma", norm=scale)
    canvas.bar(LEFT, BOTTOM, "magma", scale, [number])
    pixels = drawn(canvas).astype(int)
    wanted = np.array(colormaps["magma"](float(scale(number)), bytes=True)[:3], dtype=int)
    height = BOTTOM + SIDE * (0.1 + 0.8 * float(scale(number)))
    middle = (round(DPI * (BOTTOM + SIDE / 2)), round(DPI * (LEFT + SIDE / 2)))
    beside = (round(DPI * height), round(DPI * (LEFT + SIDE + GAP + BAR / 2)))
    for place in (middle, beside):
        assert np.abs(pixels[place] - wanted).max() <= 4  # the bar has 256 shades in 160 pixels


def test_a_wide_picture_keeps_its_shape_in_the_middle_of_its_square() -> None:
    canvas = Canvas(3, HEIGHT, SIDE)
    canvas.picture(np.zeros((10, 40)), LEFT, BOTTOM, cmap="gray", vmin=0, vmax=1)
    rows, columns = np.nonzero((drawn(canvas) == 0).all(2))
    for found, low, high in ((rows, 1.25, 1.75), (columns, 0.5, 2.5)):
        assert found.min() == pytest.approx(DPI * low, abs=1)
        assert found.max() == pytest.approx(DPI * high, abs=1)
