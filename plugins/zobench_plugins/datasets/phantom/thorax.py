"""Absorption maps of the chest: soft tissue, bone, vessels and breasts.

Both sides of the chest are drawn at once as half films ``(2, size, size/2)`` whose columns count
the distance from the midline; :func:`~.fields.unfold` joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .anatomy import Patient, Study
from .fields import Field, Pen, axes, blob, clouds, edge, fold, half_axes, per_side, unfold


@dataclass(frozen=True)
class Outline:
    """Positions of lungs, chest wall, diaphragm and heart; findings use them."""

    lungs: Field  # (2, size, size/2) coverage, the patient's right first
    wall: Field  # (2, size, 1) distance of the inner chest wall from the midline
    dome: Field  # (2, 1, size/2) y of the diaphragm
    base: tuple[float, float]  # y of the costophrenic angle
    heart: Field  # (size, size) coverage


def outline(patient: Patient, study: Study, size: int) -> Outline:
    """Places lungs, diaphragm and heart on the film."""
    depth, y = half_axes(size)
    left_base = patient.lung_base + 0.055 * study.inspiration
    bases = (left_base - patient.dome_difference, left_base)
    base = per_side(*bases)
    width = patient.thorax_width * per_side(1.0 - study.turn, 1.0 + study.turn)
    heart = _heart(patient, study, left_base, size)

    t = np.clip((y - patient.lung_top) / (base - patient.lung_top), 0.0, 1.25)
    wall = width * (0.47 + 0.53 * t**0.55 - 0.06 * np.clip(t - 0.7, 0, 1))
    apex = patient.lung_top + 1.9 * (depth - 0.40 * width) ** 2
    dome = base - patient.dome * (1.0 - ((np.clip(depth / width, 0.0, 1.1) - 0.45) / 0.55) ** 2)
    medial = 0.112 + 0.04 * np.exp(-(((y - 0.1) / 0.22) ** 2)) + 0.05 * edge(-y - 0.5, 0.15)
    lungs = edge(wall - depth, 0.022) * edge(depth - medial, 0.03)
    lungs *= edge(y - apex, 0.025)
    lungs *= edge(dome - y, 0.026 if study.portable else 0.016)
    lungs *= 1.0 - 0.9 * fold(heart)
    return Outline(lungs=lungs, wall=wall, dome=dome, base=bases, heart=heart)


def _heart(patient: Patient, study: Study, base: float, size: int) -> Field:
    """The cardiac silhouette: its two borders, row by row, and a soft edge."""
    x, y = axes(size)
    width = patient.heart * (1.14 if study.portable else 1.0)
    shift = 0.3 * study.turn
    apex = base - 0.17
    slope = edge(y - apex + 0.42, 0.36)
    taper = 1.0 - 0.35 * edge(y - apex - 0.04, 0.22)
    left = 0.10 + (1.32 * width - 0.10) * slope**1.3 * taper
    right = 0.09 + (0.62 * width - 0.09) * np.exp(-(((y - apex + 0.10) / 0.24) ** 2))
    inside = edge(left - (x - shift), 0.035) * edge(right + (x - shift), 0.035)
    return np.asarray(inside * edge(y - apex + 0.62, 0.14), dtype=np.float32)


def absorption(
    patient: Patient, study: Study, where: Outline, rng: np.random.Generator, size: int
) -> Field:
    """Total absorption of a patient without findings, before the film is exposed."""
    depth, y = half_axes(size)
    body = _body(patient, size)
    below = edge(y - where.dome - 0.01, 0.04) * edge(where.wall + 0.06 - depth, 0.08)
    tissue = body * (
        0.58 + 0.025 * patient.habitus + 0.05 * edge(y - 0.15, 0.5) - 0.08 * edge(-0.45 - y, 0.3)
    )
    sides = tissue - (0.29 - 0.012 * patient.habitus) * where.lungs
    sides += 0.25 * below * body * (1.0 - 0.25 * depth**2)
    sides += _bones(patient, where, size) * (1.0 - 0.75 * below) * body
    sides += _breasts(patient, study, size) * (1.0 - 0.5 * below)
    film = unfold(sides)
    film += _mediastinum(patient, study, where, size) * (1.0 - 0.72 * unfold(below))
    lung = unfold(where.lungs)
    film += lung * _vessels(patient, size)
    film += _gas(where, rng, size)
    film += 0.020 * lung * clouds(rng, size, (28, 56, 112), 0.8)
    film += 0.022 * clouds(rng, size, (4, 8, 16), 0.6) * np.minimum(film, 1.0)
    return film


@lru_cache(maxsize=1)  # films of one patient are rendered one after the other
def _body(patient: Patient, size: int) -> Field:
    """Neck, shoulders and trunk; the arms hang beside the trunk."""
    depth, y = half_axes(size)
    shoulder = 1.14 + 0.03 * patient.stature + 0.03 * patient.habitus
    trunk = patient.thorax_width + 0.095 + 0.035 * patient.habitus
    slope = edge(y + 0.80 - 0.14 * depth**2, 0.16)
    half = patient.neck + (shoulder - patient.neck) * slope
    half = half - (shoulder - trunk) * edge(y + 0.15, 0.42)
    thick = np.clip(depth / np.maximum(half, 0.1), 0, 1)
    cover = edge(half - depth, 0.025) * (1.0 - 0.40 * thick**3)
    arm = edge(depth - trunk - 0.07, 0.03) * edge(y + 0.35, 0.3) * 0.6
    body = np.asarray(np.maximum(cover, arm), dtype=np.float32)
    body.flags.writeable = False
    return body


def _mediastinum(patient: Patient, study: Study, where: Outline, size: int) -> Field:
    x, y = axes(size)
    shift = 0.25 * study.turn
    fullness = 0.125 + 0.03 * edge(y + 0.1, 0.5)
    film = 0.20 * edge(fullness - np.abs(x - shift), 0.07) * edge(y + 0.85, 0.2)
    film += 0.23 * where.heart
    film += 0.13 * blob(x, y, (0.125 + shift, -0.33), (patient.knob, patient.knob * 1.1))
    film += 0.07 * blob(x, y, (-0.13 + shift, -0.22), (0.05, 0.2))
    for sign, height in ((-1.0, 0.02), (1.0, -0.06)):
        film += 0.10 * blob(x, y, (sign * 0.18 + shift, height), (0.055, 0.09))
    film -= 0.12 * edge(0.042 - np.abs(x - 0.6 * shift), 0.025) * edge(-0.16 - y, 0.1)
    discs = 0.5 + 0.5 * np.cos((y + 1.0) * np.float32(2 * np.pi / 0.125))
    film += edge(0.078 - np.abs(x), 0.03) * (0.04 + 0.03 * discs)
    return film


def _rib(phase: Field, half_width: float) -> Field:
    """A band at every whole number of ``phase`` with brighter rims (the cortex)."""
    distance = np.abs(phase - np.round(phase))
    band = edge(half_width - distance, 0.07)
    rim = 1.0 - np.minimum(np.abs(distance - 0.8 * half_width) / 0.09, 1.0)
    return np.asarray(band * 0.75 + 0.4 * rim, dtype=np.float32)


def _bones(patient: Patient, where: Outline, size: int) -> Field:
    """Ribs behind and in front, clavicles, shoulder joints, upper arms, shoulder blades."""
    depth, y = half_axes(size)
    span = edge(depth - 0.05, 0.02) * edge(y + 0.74, 0.06) * edge(0.66 - y, 0.2)
    span = span * edge(where.wall + 0.045 - depth, 0.03)
    bend = patient.rib_slope * (depth**2 + 0.15 * depth**4) - 0.12 * depth
    bones = _rib((y - bend) / patient.rib_spacing + patient.rib_phase, 0.20)
    front = (y + 0.25 - 0.62 * (np.maximum(where.wall, 0.3) - depth)) / (1.08 * patient.rib_spacing)
    fade = 0.5 * edge(depth - 0.36, 0.1) * edge(y + 0.5, 0.12)
    bones = bones + fade * _rib(front + patient.rib_phase, 0.24)
    bones *= patient.rib_contrast * span * (1.0 - 0.45 * edge(y - 0.1, 0.5))
    pleura = np.exp(-(((depth - where.wall - 0.015) / 0.018) ** 2))
    bones += 0.06 * pleura * edge(y + 0.6, 0.1) * edge(0.55 - y, 0.15)

    curve = -0.53 - patient.clavicle_slope * (depth - 0.1) - 0.05 * np.sin(depth * 5.0)
    offset = np.abs(y - curve) / patient.clavicle_width
    clavicle = 0.7 * edge(1.0 - offset, 0.4) + 0.5 * np.exp(-(((offset - 0.85) / 0.33) ** 2))
    reach = edge(depth - 0.07, 0.02) * edge(0.80 - depth, 0.03)
    bones += 0.11 * reach * clavicle
    socket = np.sqrt((depth - 0.93) ** 2 + (y + 0.60) ** 2)
    bones += 0.10 * edge(0.115 - socket, 0.03)
    shaft = np.abs(depth - 0.95 - 0.08 * (y + 0.6))
    bones += 0.08 * edge(0.055 - shaft, 0.02) * edge(y + 0.60, 0.05)
    blade = np.exp(-(((depth - 0.705 - 0.10 * y) / 0.02) ** 2))
    bones += 0.05 * blade * edge(y + 0.62, 0.08) * edge(-0.02 - y, 0.08)
    return bones


@lru_cache(maxsize=1)
def _vessels(patient: Patient, size: int) -> Field:
    """Branching vessels that leave the hila and thin out towards the pleura."""
    rng = np.random.default_rng(patient.vessel_seed)
    pen = Pen(size)
    for side, sign in enumerate((-1.0, 1.0)):
        angles = np.linspace(-1.3, 1.4, 7) + rng.normal(0, 0.13, 7)
        tips = np.array([[sign * 0.16, 0.0 if side == 0 else -0.06]]) + rng.normal(0, 0.025, (7, 2))
        width, length = 2.6, 0.15
        for _ in range(5):
            for bend in rng.normal(0, 0.22, (2, len(angles))):
                angles = angles + bend
                reach = 0.5 * length * rng.uniform(0.7, 1.3, len(angles))
                way = np.stack([sign * np.cos(angles), np.sin(angles)], axis=1)
                heads = tips + reach[:, None] * way
                pen.segments(tips, heads, width, min(255, int(62 * width)))
                tips = heads
            tips = np.concatenate([tips, tips])
            turn = rng.uniform(0.15, 0.55, len(angles))
            angles = np.concatenate([angles + turn, angles - turn])
            width, length = width * 0.68, length * 0.82
    vessels = 0.15 * pen.coverage()
    vessels.flags.writeable = False
    return vessels


def _breasts(patient: Patient, study: Study, size: int) -> Field:
    """Two soft discs, thickest in the middle, with a crisper lower outer rim."""
    depth, y = half_axes(size)
    drop = patient.breast_drop - (0.05 if study.portable else 0.0)
    dx = (depth - patient.breast_spread) / patient.breast_radius
    dy = (y - drop) / (0.88 * patient.breast_radius)
    disc = np.sqrt(np.maximum(1.0 - dx * dx - dy * dy, 0.0))
    fade = edge(y - drop + 0.8 * patient.breast_radius, 0.5 * patient.breast_radius)
    return (0.8 if study.portable else 1.0) * patient.breast * disc * fade


def _gas(where: Outline, rng: np.random.Generator, size: int) -> Field:
    """The stomach's gas bubble under the left dome (image right), and now and then bowel gas."""
    x, y = axes(size)
    film = np.zeros((size, size), dtype=np.float32)
    if rng.random() < 0.7:
        centre = (0.36 + rng.normal(0, 0.06), where.base[1] + 0.02 + abs(rng.normal(0, 0.05)))
        radii = (rng.uniform(0.05, 0.13), rng.uniform(0.03, 0.07))
        bubble = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
        film -= rng.uniform(0.06, 0.2) * edge(1.0 - bubble, 0.5)
    for _ in range(int(rng.poisson(0.7))):
        spot = (rng.normal(0.2, 0.35), rng.uniform(0.72, 0.98))
        film -= 0.12 * blob(x, y, spot, (rng.uniform(0.02, 0.06), rng.uniform(0.015, 0.04)))
    return film
