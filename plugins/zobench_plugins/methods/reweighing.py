"""Reweighing: weights that make disease and sensitive attribute independent.

Kamiran and Calders, "Data Preprocessing Techniques for Classification without Discrimination",
Knowledge and Information Systems 33, 2012. Every training image has the weight ``P(y) P(a) / P(y,
a)``, so that disease and sensitive attribute are independent in the weighted training set.
"""

from __future__ import annotations

from typing import ClassVar

from zobench.contracts.method import MethodContext, MethodResult

from .weighting import reweighing, weighted_head


class Reweighing:
    """A disease head on clean embeddings, with weighted images."""

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext) -> None:
        self._context = context

    def solve(self) -> MethodResult:
        """Fits the weighted head and predicts."""
        context, train = self._context, self._context.train
        head = weighted_head(
            context, context.embed_train(), reweighing(train.label, train.sensitive)
        )
        return context.result(head.score(context.embed_test()))
