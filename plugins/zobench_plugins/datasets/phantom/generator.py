"""Renders one phantom film from its seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import Patient, draw_patient, draw_study
from .film import develop, lay_devices
from .findings import FINDINGS
from .thorax import absorption, outline

SIZE = 224
VERSION = 1
"""Raised whenever the pixels of any film change; part of every digest."""

SUBTLETY: dict[str, tuple[float, float]] = {
    "pleural_effusion": (1.0, 7.0),
    "pneumonia": (2.0, 90.0),
    "edema": (2.0, 4.0),
}
"""Shape parameters (alpha, beta) of the Beta distribution that severities are drawn from: set so that
the ERM rows come near the paper's, see docs/explanation/calibration.md."""


@dataclass(frozen=True)
class Film:
    """A film with its patient and the severity of its finding."""

    pixels: NDArray[np.uint8]
    patient: Patient
    portable: bool
    severity: float


def study_stream(seed: int, patient: int, image: int) -> np.random.Generator:
    """The random stream of one film, for everything except its patient."""
    return np.random.default_rng([seed, patient, image, 1])


def render(seed: int, patient: int, image: int, *, male: bool, finding: str | None) -> Film:
    """Renders one film, the same one for the same arguments.

    The finding has its own random stream, so the rest of the film does not depend on the finding.

    Args:
        seed: The number of the cohort.
        patient: Number of the patient in the cohort, from 0.
        image: Number of the patient's film, from 0.
        male: Sex of the patient.
        finding: A key of :data:`FINDINGS`, or ``None`` for a film without findings.

    Returns:
        The film, ``(224, 224)`` 8-bit pixels, with its patient and the severity of the finding
        (0 where there is none).
    """
    who = draw_patient(np.random.default_rng([seed, patient]), male=male)
    rng = study_stream(seed, patient, image)
    study = draw_study(rng, who)
    where = outline(who, study, SIZE)
    map_ = absorption(who, study, where, rng, SIZE)
    severity = 0.0
    if finding is not None:
        sick = np.random.default_rng([seed, patient, image, 2])
        severity = float(sick.beta(*SUBTLETY[finding]))
        map_ = map_ + FINDINGS[finding](where, severity, sick, SIZE)
    map_ = map_ + lay_devices(who, study, rng, SIZE)
    return Film(develop(map_, who, study, rng, SIZE), who, study.portable, severity)
