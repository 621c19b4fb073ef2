"""Iterative nullspace projection, INLP.

Ravfogel et al., "Null It Out: Guarding Protected Attributes by Iterative Nullspace Projection", ACL
2020. Each round fits an SA head on what is left of the embeddings and removes its direction, beside
those of the rounds before. The disease head is
fitted on what is left, with the weights of reweighing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.problem.heads import Scale, fit_sensitive_head

from .weighting import reweighing, weighted_head

Floats = NDArray[np.float64]
SMALLEST = 1e-9
"""Share of a head's weight that must be new; what is less is rounding."""


@dataclass(frozen=True)
class InlpParameters:
    """The number of rounds."""

    rounds: int = parameter(8, "directions removed", low=1, high=10_000)


class Inlp:
    """A disease head on embeddings without the directions of several SA heads."""

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext, parameters: InlpParameters) -> None:
        self._context, self._parameters = context, parameters

    def solve(self) -> MethodResult:
        """Removes the directions, fits the head and predicts."""
        context, train = self._context, self._context.train
        scale = Scale.of(np.asarray(context.embed_train(), dtype=np.float64))
        clean, test = (
            scale.standardised(np.asarray(embeddings, dtype=np.float64))
            for embeddings in (context.embed_train(), context.embed_test())
        )
        removed = np.empty((clean.shape[1], 0))  # orthonormal columns
        for _ in range(min(self._parameters.rounds, clean.shape[1] - 1)):
            left = _without(clean, removed)
            head = fit_sensitive_head(
                left, train.sensitive, train.label, protocol=context.protocol, rng=context.rng()
            )
            weight = head.weight[1] - head.weight[0]
            # the head standardises what is left, so its weight also points along what is removed
            direction = _without(weight, removed)
            size = np.linalg.norm(direction)
            if size <= SMALLEST * np.linalg.norm(weight):
                break
            removed = np.column_stack([removed, direction / size])
        fair = weighted_head(
            context, _without(clean, removed), reweighing(train.label, train.sensitive)
        )
        return context.result(fair.score(_without(test, removed)))


def _without(vectors: Floats, removed: Floats) -> Floats:
    """Vectors ``(..., D)``, projected on what is orthogonal to the columns of ``removed``."""
    projected: Floats = vectors - (vectors @ removed) @ removed.T
    return projected
