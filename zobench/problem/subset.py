"""Draws fixed, nested subsets of images that keep the mix of diseases and groups."""

from __future__ import annotations

import math

import numpy as np

from zobench.contracts.dataset import Rows

from .images import Images


def nested_subset(images: Images, share: float, rng: np.random.Generator) -> Rows:
    """Rows of at most a share of the patients, in increasing order.

    Patients with equal sensitive attribute and equal sets of disease labels form a stratum, of which
    the same share is taken, rounded down, but at least one patient. All images of a patient are
    taken or left out. With equal images and stream, the rows of a smaller share are among those of a
    larger one.

    Args:
        images: The images.
        share: The share, above 0 and at most 1.
        rng: Orders the patients.
    """
    patients, inverse = np.unique(images.patient, return_inverse=True)
    kinds = np.zeros(len(patients), dtype=np.int64)
    np.bitwise_or.at(kinds, inverse, 1 << (2 * images.label + images.sensitive))
    order = rng.permutation(len(patients))
    taken = np.zeros(len(patients), dtype=bool)
    for kind in np.unique(kinds):
        members = order[kinds[order] == kind]
        taken[members[: max(1, math.floor(share * len(members) + 1e-9))]] = True
    return np.flatnonzero(taken[inverse])
