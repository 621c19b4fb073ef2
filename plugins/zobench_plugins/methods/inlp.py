"""Iterative nullspace projection, INLP.

Ravfogel et al., "Null It Out: Guarding Protected Attributes by Iterative Nullspace Projection", ACL
2020. Each round fits an SA head and removes its direction from the embeddings. The disease head is
fitted on what is left, with the weights of reweighing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.problem.heads import Scale, fit_sensitive_head

from .weighting import reweighing, weighted_head


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
            scale.standardised(np.asarray(each, dtype=np.float64))
            for each in (context.embed_train(), context.embed_test())
        )
        for _ in range(min(self._parameters.rounds, clean.shape[1] - 1)):
            head = fit_sensitive_head(
                clean, train.sensitive, train.label, protocol=context.protocol, rng=context.rng()
            )
            direction = head.weight[1] - head.weight[0]
            size = np.linalg.norm(direction)
            if size == 0:
                break
            direction = direction / size
            clean, test = (each - np.outer(each @ direction, direction) for each in (clean, test))
        fair = weighted_head(context, clean, reweighing(train.label, train.sensitive))
        return context.result(fair.score(test))
