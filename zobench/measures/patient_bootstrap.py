"""Bootstrap over test patients, stratified by sensitive attribute and disease labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.random_streams import generator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ScoredImages:
    """Labels of the test images, each array ``(n,)``.

    Attributes:
        patient: Patient numbers.
        label: Disease y, 0 or 1.
        sensitive: Sensitive attribute a, 0 or 1.
    """

    patient: Ints
    label: Ints
    sensitive: Ints


def patient_weights(test: ScoredImages, replicates: int, rng: np.random.Generator) -> Floats:
    """The number of times that each image counts in each bootstrap resample of the patients.

    Patients with equal sensitive attribute and equal sets of disease labels form a stratum, and are
    drawn with replacement within it. If every patient has one label, the strata are the cells of
    (y, a). All images of a patient have the same weight.

    Returns:
        ``(replicates, n)``.
    """
    patients, inverse = np.unique(test.patient, return_inverse=True)
    kinds = np.zeros(len(patients), dtype=np.int64)
    np.bitwise_or.at(kinds, inverse, 1 << (2 * test.label + test.sensitive))
    drawn = np.zeros((replicates, len(patients)))
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        chances = np.full(len(members), 1.0 / len(members))
        drawn[:, members] = rng.multinomial(len(members), chances, size=replicates)
    return drawn[:, inverse]


def bootstrap_weights(test: ScoredImages, seed: int, replicates: int) -> Floats:
    """The number of times that each image counts in the data (row 0) and in each of R resamples.

    Runs with equal test images, seed and R get equal resamples, so their differences are paired.

    Returns:
        ``(R + 1, n)``, not to be written to; the weights of an image lie side by side in memory.
    """
    columns = (array.tobytes() for array in (test.patient, test.label, test.sensitive))
    return _weights(*columns, seed, replicates)


@lru_cache(maxsize=1)
def _weights(patient: bytes, label: bytes, sensitive: bytes, seed: int, replicates: int) -> Floats:
    """The weights of :func:`bootstrap_weights`, kept for the rows of one run."""
    weights = _counts(patient, label, sensitive, seed, replicates).astype(np.float64)
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=32)
def _counts(
    patient: bytes, label: bytes, sensitive: bytes, seed: int, replicates: int
) -> NDArray[np.uint16]:
    """The weights of :func:`bootstrap_weights` as small integers, cached for several runs."""
    columns = [np.frombuffer(raw, dtype=np.int64) for raw in (patient, label, sensitive)]
    data = np.ones((1, len(columns[0])), dtype=np.uint16)
    if not replicates:
        return data
    drawn = patient_weights(ScoredImages(*columns), replicates, generator(seed, "bootstrap"))
    return np.asfortranarray(np.concatenate([data, drawn.astype(np.uint16)]))
