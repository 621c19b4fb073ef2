"""The parameters of a phantom patient and of one study of that patient.

Lengths are fractions of half the field of view (the image spans -1..1 in both directions, x to the
right, y down); absorptions are in units in which a healthy lung field is near 0.35 and the
mediastinum near 0.9. No single parameter predicts the sex exactly. The breast shadow predicts it
best and is wrong for about one patient in twenty; the sizes predict it far less well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patient:
    """The parameters that are the same in all studies of one patient."""

    male: bool
    age: int
    habitus: float  # body mass, standard normal
    stature: float  # thorax size, standard normal plus a shift by sex
    thorax_width: float
    lung_top: float
    lung_base: float
    dome: float  # height of the diaphragm domes
    dome_difference: float  # height of the right dome above the left dome
    breast: float  # peak absorption of the breast shadow
    breast_radius: float
    breast_drop: float  # y of the breast centre
    breast_spread: float  # x of the breast centre
    heart: float  # transverse half width of the heart
    knob: float  # aortic knob
    rib_spacing: float
    rib_slope: float
    rib_phase: float
    rib_contrast: float
    clavicle_slope: float
    clavicle_width: float
    neck: float
    vessel_seed: int
    pacemaker: bool


@dataclass(frozen=True)
class Study:
    """The parameters that change from film to film: projection, breath, exposure."""

    portable: bool  # anteroposterior at the bedside, else posteroanterior
    inspiration: float
    rotation: float  # degrees
    scale: float
    shift: tuple[float, float]
    turn: float  # rotation about the long axis: the two sides differ in width
    exposure: float
    contrast: float
    gamma: float
    noise: float
    blur: float
    sharpening: float  # weight of local detail added by the digital system


def draw_build(rng: np.random.Generator, *, male: bool) -> tuple[float, float, int]:
    """Draws habitus, stature and age in years: the first random numbers of a patient."""
    habitus = _clipped(rng.normal(), -2.2, 2.6)
    stature = float(rng.normal(0.15 if male else -0.15, 0.9))
    return habitus, stature, int(_clipped(rng.normal(52, 17), 18, 92))


def draw_patient(rng: np.random.Generator, *, male: bool) -> Patient:
    """Draws one patient of the given sex."""
    sign = 1.0 if male else -1.0
    habitus, stature, age = draw_build(rng, male=male)
    tissue = rng.lognormal(-1.85, 0.40) if not male else rng.lognormal(-3.35, 0.55)
    fat = 0.022 * max(habitus, 0.0)
    return Patient(
        male=male,
        age=age,
        habitus=habitus,
        stature=stature,
        thorax_width=0.745 + 0.028 * stature + 0.012 * habitus + rng.normal(0, 0.022),
        lung_top=-0.70 + rng.normal(0, 0.04),
        lung_base=0.50 + 0.035 * stature + rng.normal(0, 0.05),
        dome=0.19 + rng.normal(0, 0.025),
        dome_difference=0.05 + rng.normal(0, 0.02),
        breast=_clipped(tissue + fat, 0.0, 0.32),
        breast_radius=_clipped(0.36 + 0.035 * habitus + rng.normal(0, 0.04), 0.24, 0.5),
        breast_drop=0.30 + 0.04 * habitus + rng.normal(0, 0.07),
        breast_spread=0.47 + rng.normal(0, 0.035),
        heart=0.285 + 0.016 * habitus + 0.0009 * (age - 52) + rng.normal(0, 0.026),
        knob=0.085 + 0.0006 * (age - 52) + rng.normal(0, 0.012),
        rib_spacing=0.148 + rng.normal(0, 0.008),
        rib_slope=0.46 + rng.normal(0, 0.09),
        rib_phase=rng.uniform(0, 1),
        rib_contrast=_clipped(0.075 - 0.010 * habitus + rng.normal(0, 0.018), 0.025, 0.13),
        clavicle_slope=0.24 + rng.normal(0, 0.08),
        clavicle_width=0.030 + 0.0022 * sign + rng.normal(0, 0.003),
        neck=0.21 + 0.012 * sign + 0.012 * habitus + rng.normal(0, 0.015),
        vessel_seed=int(rng.integers(2**31)),
        pacemaker=bool(age > 62 and rng.random() < 0.12),
    )


def draw_portable(rng: np.random.Generator, age: int) -> bool:
    """Draws the projection, a study's first random number; old patients have more bedside films."""
    return bool(rng.random() < 0.30 + 0.003 * (age - 52))


def draw_study(rng: np.random.Generator, patient: Patient) -> Study:
    """Draws one study."""
    portable = draw_portable(rng, patient.age)
    return Study(
        portable=portable,
        inspiration=_clipped(rng.normal(-0.5 if portable else 0.3, 0.7), -2.0, 2.0),
        rotation=float(rng.normal(0, 2.6 if portable else 1.3)),
        scale=_clipped(rng.normal(1.08, 0.06), 0.9, 1.25),
        shift=(float(rng.normal(0, 0.035)), float(rng.normal(0.0, 0.05))),
        turn=_clipped(rng.normal(0, 0.05 if portable else 0.025), -0.14, 0.14),
        exposure=float(rng.normal(0.0, 0.06)),
        contrast=_clipped(rng.normal(0.78 if portable else 1.05, 0.17), 0.45, 1.45),
        gamma=float(np.exp(rng.normal(0.0, 0.14))),
        noise=float(np.exp(rng.normal(-4.35, 0.4))),
        blur=_clipped(rng.normal(0.75 if portable else 0.55, 0.2), 0.2, 1.4),
        sharpening=_clipped(rng.normal(0.15, 0.3), 0.0, 0.9),
    )


def _clipped(value: float, low: float, high: float) -> float:
    """``numpy.clip`` of one number."""
    return float(min(max(value, low), high))
