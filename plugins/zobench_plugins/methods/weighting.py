"""Heads trained with image weights, under both training protocols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.problem.heads import PAPER_BATCH, Head, fit_head

if TYPE_CHECKING:
    from zobench.contracts.dataset import Rows
    from zobench.contracts.method import MethodContext

Floats = NDArray[np.float64]


def weighted_head(
    context: MethodContext, embeddings: NDArray[np.floating], weights: Floats
) -> Head:
    """A disease head that minimises the weighted loss.

    The ``converged`` protocol weights the loss. The ``paper`` protocol has no weights, so images
    are drawn for its batches with probabilities proportional to the weights.

    Args:
        context: The problem.
        embeddings: Embeddings ``(N, D)`` of the training images.
        weights: Image weights ``(N,)`` of mean 1.
    """
    train, converged = context.train, context.protocol == "converged"

    def batches(rng: np.random.Generator) -> Iterator[Rows]:
        drawn = rng.choice(len(weights), len(weights), p=weights / weights.sum())
        for start in range(0, len(drawn), PAPER_BATCH):
            yield drawn[start : start + PAPER_BATCH]

    return fit_head(
        embeddings,
        train.label,
        protocol=context.protocol,
        role="disease",
        rng=context.rng(),
        weights=weights if converged else None,
        batches=None if converged else batches,
    )


def reweighing(label: Rows, sensitive: Rows) -> Floats:
    """Weights ``P(y) P(a) / P(y, a)`` (Kamiran and Calders 2012, section 4.1), of mean 1.

    In the weighted training set, disease and sensitive attribute are independent.
    """
    cell = 2 * label + sensitive
    joint = np.bincount(cell, minlength=4) / len(cell)
    y, a = np.bincount(label, minlength=2), np.bincount(sensitive, minlength=2)
    weights = (y[label] / len(label)) * (a[sensitive] / len(label)) / joint[cell]
    return np.asarray(weights / weights.mean())
