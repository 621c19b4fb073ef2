"""The findings: pleural effusion, pneumonia and edema, as added absorption.

Severity is in 0..1. At the low end a reader is likely to miss the finding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .fields import Field, axes, blob, clouds, edge, fold, half_axes, unfold
from .thorax import Outline

Drawing = Callable[[Outline, float, np.random.Generator, int], Field]


def pleural_effusion(where: Outline, severity: float, rng: np.random.Generator, size: int) -> Field:
    """Fluid in the costophrenic angle, a meniscus that climbs the chest wall; sometimes on both."""
    depth, y = half_axes(size)
    sides = (0, 1) if rng.random() < 0.4 else (int(rng.integers(2)),)
    opacity = np.zeros_like(where.lungs)
    for side in sides:
        height = (0.10 + 0.45 * severity) * rng.uniform(0.8, 1.2)
        outward = np.clip(depth[0] / np.maximum(where.wall[side], 0.2), 0.0, 1.1)
        level = where.base[side] - height * (0.35 + 0.65 * outward**3) - 0.02
        fluid = (0.15 + 0.13 * severity) * edge(y[0] - level, 0.05)
        fluid += 0.05 * severity * edge(y[0] - level + 0.2, 0.2)
        opacity[side] = fluid * where.lungs[side]
    return unfold(opacity)


def pneumonia(where: Outline, severity: float, rng: np.random.Generator, size: int) -> Field:
    """One to three patchy, cloudy opacities, with air showing between them."""
    x, y = axes(size)
    patches = np.zeros((size, size), dtype=np.float32)
    for _ in range(1 + int(rng.integers(3))):
        sign = -1.0 if rng.random() < 0.5 else 1.0
        centre = (sign * rng.uniform(0.26, 0.56), rng.uniform(-0.35, 0.36))
        patches += blob(x, y, centre, (rng.uniform(0.08, 0.16), rng.uniform(0.08, 0.17)))
    texture = 0.5 + 0.5 * np.clip(clouds(rng, size, (14, 28, 56), 0.7), -1, 1.5)
    return (0.09 + 0.22 * severity) * patches * texture * unfold(where.lungs)


def edema(where: Outline, severity: float, rng: np.random.Generator, size: int) -> Field:
    """Perihilar haze on both sides, thickened septa at the bases, thin interstitial mottling."""
    depth, y = half_axes(size)
    mottle = fold(clouds(rng, size, (28, 56, 112), 0.9))
    wing = blob(depth, y, (0.27, 0.04), (0.17, 0.25))
    haze = (0.02 + 0.06 * severity) * wing * (1.0 + 0.35 * mottle)
    lines = np.exp(-((((y * 28.0) % 1.0) - 0.5) ** 2) / np.float32(0.03))
    rim = edge(depth - where.wall + 0.16, 0.05) * edge(y - 0.05, 0.1)
    septa = (0.01 + 0.03 * severity) * lines * rim * np.clip(0.5 + mottle, 0, 1)
    return unfold((haze + septa + 0.01 * severity * (1 + mottle)) * where.lungs)


FINDINGS: dict[str, Drawing] = {
    "pleural_effusion": pleural_effusion,
    "pneumonia": pneumonia,
    "edema": edema,
}
