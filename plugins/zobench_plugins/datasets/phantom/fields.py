"""Drawing functions: coordinates, soft edges, cloud noise and strokes on a square film."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Field = NDArray[np.floating]
Points = NDArray[np.float64]


@lru_cache(maxsize=4)
def axes(size: int) -> tuple[Field, Field]:
    """Row vector of x and column vector of y at pixel centres, both spanning -1..1."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    return centres[None, :], centres[:, None]


@lru_cache(maxsize=4)
def half_axes(size: int) -> tuple[Field, Field]:
    """Distance from the midline ``(1, 1, size/2)`` and y ``(1, size, 1)``, for both sides."""
    x, y = axes(size)
    return np.ascontiguousarray(x[None, :, size // 2 :]), y[None]


def per_side(right: float, left: float) -> Field:
    """One number for each side, ``(2, 1, 1)``: the patient's right (image left) first."""
    return np.array([right, left], dtype=np.float32).reshape(2, 1, 1)


def unfold(sides: Field) -> Field:
    """Joins two half films ``(2, size, size/2)``, each growing outward, into one film."""
    return np.concatenate([sides[0, :, ::-1], sides[1]], axis=1)


def fold(film: Field) -> Field:
    """The inverse of :func:`unfold`."""
    half = film.shape[1] // 2
    return np.stack([film[:, :half][:, ::-1], film[:, half:]])


def edge(distance: Field, width: float) -> Field:
    """A smooth step: 0 where ``distance`` < -width, 1 where it is > width."""
    t = np.asarray(distance * np.float32(0.5 / width))
    t += np.float32(0.5)
    np.minimum(np.maximum(t, 0.0, out=t), 1.0, out=t)
    falling = 2.0 * t
    np.subtract(3.0, falling, out=falling)
    t *= t
    t *= falling
    return np.asarray(t, dtype=np.float32)


def blob(x: Field, y: Field, centre: tuple[float, float], radii: tuple[float, float]) -> Field:
    """A Gaussian spot with the given standard deviations."""
    along = np.exp(-0.5 * ((x - centre[0]) / radii[0]) ** 2)
    down = np.exp(-0.5 * ((y - centre[1]) / radii[1]) ** 2)
    return np.asarray(along * down, dtype=np.float32)


def clouds(rng: np.random.Generator, size: int, grains: Iterable[int], persistence: float) -> Field:
    """Cloud noise of about unit variance: a sum of enlarged random grids, fine ones weaker."""
    total = np.zeros((size, size), dtype=np.float32)
    weight, power = 1.0, 0.0
    for grain in grains:
        grid = Image.fromarray(rng.standard_normal((grain, grain)).astype(np.float32))
        total += weight * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
        power += weight * weight
        weight *= persistence
    return np.asarray(total / np.sqrt(power), dtype=np.float32)


class Pen:
    """Strokes and letters at twice the film's resolution, read back as coverage in 0..1."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._image = Image.new("L", (2 * size, 2 * size))
        self.draw = ImageDraw.Draw(self._image)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Film coordinates (-1..1) to the pen's own pixels."""
        return (x + 1.0) * self._size, (y + 1.0) * self._size

    def line(self, points: Iterable[tuple[float, float]], width: float, level: int) -> None:
        """A polyline in film coordinates; ``width`` in film pixels, ``level`` in 0..255."""
        self.draw.line(
            [self.at(*point) for point in points],
            fill=level,
            width=max(1, round(2 * width)),
            joint="curve",
        )

    def segments(self, tails: Points, heads: Points, width: float, level: int) -> None:
        """Straight strokes from each of ``tails`` to the same row of ``heads``, both ``(n, 2)``."""
        ends = ((np.concatenate([tails, heads], axis=1) + 1.0) * self._size).tolist()
        stroke, core = max(1, round(2 * width)), self.draw.draw
        ink = core.draw_ink(
            level
        )  # ImageDraw.line looks it up for each stroke; a test compares both
        for end in ends:
            core.draw_lines(end, ink, stroke)

    def paste(self, picture: Image.Image, x: float, y: float) -> None:
        """Lays a grey picture with its middle at (x, y)."""
        left, top = self.at(x, y)
        corner = (int(left - picture.width / 2), int(top - picture.height / 2))
        self._image.paste(picture, corner, picture)

    def coverage(self) -> Field:
        """The drawing, averaged down to the film's resolution, in 0..1."""
        return np.asarray(self._image.reduce(2), dtype=np.float32) / np.float32(255.0)
