"""Stratified batch sampling (Puyol-Anton et al., "Fairness in Cardiac MR Image Analysis", MICCAI 2021).

Every batch holds equally many images of each cell of (disease, sensitive attribute). Images of
small cells are therefore drawn more often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Rows
from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.problem.heads import cell_weights, fit_head


@dataclass(frozen=True)
class BatchSamplingParameters:
    """Parameters for the ``paper`` protocol; ``converged`` has no batches."""

    batch: int = parameter(128, "images per batch, a quarter from each cell", low=4, high=1_000_000)


def stratified_batches(
    label: NDArray[np.int64], sensitive: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[Rows]:
    """Rows of the batches of one epoch, which uses every image of the largest cell.

    The last batch is filled up with images that are drawn again, as smaller cells are all along.
    """
    cells = [np.flatnonzero(2 * label + sensitive == number) for number in range(4)]
    cells = [rows for rows in cells if len(rows)]
    share = max(1, size // len(cells))
    batches = -(-max(map(len, cells)) // share)
    decks = []
    for rows in cells:
        rounds = -(-batches * share // len(rows))
        deck = np.concatenate([rng.permutation(rows) for _ in range(rounds)])
        decks.append(deck[: batches * share].reshape(batches, share))
    yield from np.concatenate(decks, axis=1)


class BatchSampling:
    """A disease head trained on stratified batches.

    Under the ``converged`` protocol the head minimises the expected loss of such batches: the loss
    in which all cells have equal weight.
    """

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext, parameters: BatchSamplingParameters) -> None:
        self._context, self._parameters = context, parameters

    def solve(self) -> MethodResult:
        """Trains the head on clean embeddings."""
        context, train = self._context, self._context.train
        converged = context.protocol == "converged"

        def batches(rng: np.random.Generator) -> Iterator[Rows]:
            return stratified_batches(train.label, train.sensitive, self._parameters.batch, rng)

        head = fit_head(
            context.embed_train(),
            train.label,
            protocol=context.protocol,
            role="disease",
            rng=context.rng(),
            weights=cell_weights(train.label, train.sensitive) if converged else None,
            batches=None if converged else batches,
        )
        return context.result(head.score(context.embed_test()))
