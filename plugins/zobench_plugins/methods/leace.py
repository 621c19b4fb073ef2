"""Least-squares concept erasure, LEACE, by the authors' package.

Belrose et al., "LEACE: Perfect linear concept erasure in closed form", NeurIPS 2023. An affine map
changes the embeddings as little as possible so that no linear classifier can predict the sensitive
attribute better than a constant. ``leace`` fits the map and the disease head on the training set as
it is; ``leace-cells`` fits both with equal weight for each cell of (disease, SA).
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Rows
from zobench.contracts.method import MethodContext, MethodResult
from zobench.problem.heads import cell_weights

from .weighting import weighted_head

FINENESS = 4
"""Copies of each image of the largest cell, so that the number of copies can be rounded well."""


class Leace:
    """A disease head on embeddings without linear traces of the sensitive attribute."""

    needs_queries: ClassVar[bool] = False
    balanced: ClassVar[bool] = False

    def __init__(self, context: MethodContext) -> None:
        self._context = context

    def solve(self) -> MethodResult:
        """Erases the attribute, fits the head and predicts."""
        context, train = self._context, self._context.train
        clean, test = context.embed_train(), context.embed_test()
        rows = np.arange(len(clean))
        weights = np.ones(len(clean))
        if self.balanced:
            rows = balanced_copies(train.label, train.sensitive)
            weights = cell_weights(train.label, train.sensitive)
        erased, erased_test = erase(clean, train.sensitive, rows, clean, test)
        head = weighted_head(context, erased, weights)
        return context.result(head.score(erased_test))


class LeaceCells(Leace):
    """LEACE and the disease head with equal weight for each cell of (disease, SA)."""

    balanced: ClassVar[bool] = True


def erase(
    embeddings: NDArray[np.float32], sensitive: Rows, rows: Rows, *others: NDArray[np.float32]
) -> list[NDArray[np.float64]]:
    """Fits the eraser on rows of embeddings ``(N, D)`` and applies it to other embeddings."""
    import torch

    with warnings.catch_warnings():  # the package uses torch.jit.script
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        from concept_erasure import LeaceEraser

    features, attribute = (
        torch.from_numpy(np.asarray(array[rows], dtype=np.float64))
        for array in (embeddings, sensitive)
    )
    eraser = LeaceEraser.fit(features, attribute)
    return [eraser(torch.from_numpy(other.astype(np.float64))).numpy() for other in others]


def balanced_copies(label: Rows, sensitive: Rows) -> Rows:
    """Rows in which every cell of (disease, SA) appears about equally often, by whole copies.

    They are at most 16 times as many as the rows of the largest cell.
    """
    cell = 2 * label + sensitive
    counts = np.bincount(cell, minlength=4)
    copies = np.round(FINENESS * counts.max() / counts[cell]).astype(np.int64)
    return np.repeat(np.arange(len(cell)), copies)
