"""Makes a film from an absorption map: devices, markers, projection, exposure, noise."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .anatomy import Patient, Study
from .fields import Field, Pen, axes, edge


def lay_devices(patient: Patient, study: Study, rng: np.random.Generator, size: int) -> Field:
    """Leads, electrodes, central lines, tubes and pacemakers, as added absorption."""
    pen = Pen(size)
    busy = 0.75 if study.portable else 0.10
    if rng.random() < busy:
        for _ in range(int(rng.integers(2, 5))):
            _electrode_with_lead(pen, rng)
    if rng.random() < 0.35 * busy:
        side = 1.0 if rng.random() < 0.5 else -1.0
        start = (side * rng.uniform(0.5, 0.75), -0.55)
        pen.line(_bezier(start, (side * 0.1, -0.75), (-0.10, -0.25), (-0.11, 0.05)), 0.9, 120)
    if rng.random() < 0.22 * busy:
        pen.line([(0.0, -1.0), (0.01, rng.uniform(-0.45, -0.3))], 1.6, 110)
    if patient.pacemaker:
        x, y = 0.58 + rng.normal(0, 0.03), -0.42 + rng.normal(0, 0.03)
        pen.draw.ellipse([*pen.at(x - 0.1, y - 0.09), *pen.at(x + 0.1, y + 0.09)], fill=210)
        pen.line(_bezier((x, y), (0.3, -0.8), (-0.12, -0.4), (0.12, 0.3)), 0.9, 170)
    return np.asarray(0.55 * pen.coverage(), dtype=np.float32)


def _electrode_with_lead(pen: Pen, rng: np.random.Generator) -> None:
    x, y = rng.uniform(-0.75, 0.75), rng.uniform(-0.6, 0.6)
    left, top = pen.at(x, y)
    radius = rng.uniform(4, 8)
    pen.draw.ellipse([left - radius, top - radius, left + radius, top + radius], fill=130)
    target = (rng.uniform(-1, 1), 1.05 if rng.random() < 0.5 else -1.05)
    bend = ((x + target[0]) / 2 + rng.normal(0, 0.3), (y + target[1]) / 2 + rng.normal(0, 0.3))
    pen.line(_bezier((x, y), bend, bend, target), 0.7, 140)


def _bezier(*control: tuple[float, float]) -> list[tuple[float, float]]:
    t = np.linspace(0, 1, 18)[:, None]
    p = np.asarray(control)
    curve = (
        (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]
    )
    return [(float(a), float(b)) for a, b in curve]


@lru_cache(maxsize=64)
def _letters(text: str, points: int, plate: bool) -> Image.Image:
    font = ImageFont.load_default(points)
    left, top, right, bottom = font.getbbox(text)
    size = (int(right - left) + 8, int(bottom - top) + 8)
    picture = Image.new("L", size, 235 if plate else 0)
    ImageDraw.Draw(picture).text((4 - left, 4 - top), text, fill=40 if plate else 255, font=font)
    return picture


def _markers(study: Study, rng: np.random.Generator, size: int) -> Field:
    """The side marker, and the words that a bedside film carries."""
    pen = Pen(size)
    letter = "L" if rng.random() < 0.7 else "R"
    sign = 1.0 if letter == "L" else -1.0
    if rng.random() < 0.93:
        picture = _letters(letter, int(rng.integers(20, 36)), bool(rng.random() < 0.25))
        turned = picture.rotate(float(rng.normal(0, 12)), expand=True)
        pen.paste(turned, sign * rng.uniform(0.72, 0.93), rng.uniform(-0.93, -0.45))
    if study.portable and rng.random() < 0.5:
        x, y = float(rng.choice([-0.82, 0.8])), rng.uniform(-0.6, 0.7)
        for row, word in enumerate(("PORTABLE", "AP")[: int(rng.integers(1, 3))]):
            pen.paste(_letters(word, 11, False), x, y + 0.08 * row)
    return pen.coverage()


def develop(
    absorption: Field, patient: Patient, study: Study, rng: np.random.Generator, size: int
) -> NDArray[np.uint8]:
    """Projects, exposes and digitises; ``(size, size)`` 8-bit grey, bone bright."""
    film = _project(absorption, study, size)
    x, y = axes(size)
    film = film + study.sharpening * (film - _local_mean(film, size))
    film = (film - 0.52) * (1.25 * study.contrast) + (0.545 + study.exposure)
    film += rng.normal(0, 0.04) * x + rng.normal(0, 0.05) * y
    film += study.noise * rng.standard_normal((size, size), dtype=np.float32) * (1.25 - 0.5 * film)
    bright = np.maximum(film - 0.60, 0.0)
    film = np.minimum(film, 0.60) + 0.46 * bright / (0.46 + bright)
    film = np.clip(film, 0.0, 1.0) ** study.gamma
    film = np.maximum(film, _markers(study, rng, size) * rng.uniform(0.75, 1.0))
    film = film * _collimation(rng, size)
    return np.asarray(np.clip(film, 0.0, 1.0) * 255.0 + 0.5, dtype=np.uint8)


def _local_mean(film: Field, size: int) -> Field:
    """The film without detail, as digital systems subtract it to even out lungs and abdomen."""
    coarse = Image.fromarray(film).resize((14, 14), Image.Resampling.BOX)
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _project(absorption: Field, study: Study, size: int) -> Field:
    """Turns, scales, shifts and blurs the absorption map; its edge values are repeated outside."""
    pad = size // 8
    picture = Image.fromarray(np.pad(absorption, pad, mode="edge"))
    angle = math.radians(study.rotation)
    cos, sin = math.cos(angle) / study.scale, math.sin(angle) / study.scale
    middle = size / 2
    shift = (study.shift[0] * middle, study.shift[1] * middle)
    matrix = (
        cos,
        sin,
        middle + pad - cos * (middle + shift[0]) - sin * (middle + shift[1]),
        -sin,
        cos,
        middle + pad + sin * (middle + shift[0]) - cos * (middle + shift[1]),
    )
    turned = picture.transform(
        (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    film = np.asarray(turned, dtype=np.float32)
    side = 0.25 * study.blur
    film = np.pad(film, 1, mode="edge")
    film = (1 - 2 * side) * film[:, 1:-1] + side * (film[:, :-2] + film[:, 2:])
    return (1 - 2 * side) * film[1:-1] + side * (film[:-2] + film[2:])


def _collimation(rng: np.random.Generator, size: int) -> Field:
    """Shutters: black borders on some sides of some films."""
    x, y = axes(size)
    mask: Field = np.ones((size, size), dtype=np.float32)
    for coordinate in (x, -x, y, -y):
        if rng.random() < 0.16:
            limit = 1.0 - abs(rng.normal(0, 0.07))
            tilt = rng.normal(0, 0.01) * (y if coordinate is x else x)
            mask = mask * edge(limit - coordinate + tilt, 0.006)
    return mask
