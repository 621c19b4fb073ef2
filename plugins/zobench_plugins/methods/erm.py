"""Empirical risk minimisation: the usual training of a classifier, without debiasing."""

from __future__ import annotations

from typing import ClassVar

from zobench.contracts.method import MethodContext, MethodResult
from zobench.problem.heads import fit_head


class Erm:
    """A disease head on embeddings of the images as they are."""

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext) -> None:
        self._context = context

    def solve(self) -> MethodResult:
        """Fits the head and predicts."""
        context = self._context
        head = fit_head(
            context.embed_train(),
            context.train.label,
            protocol=context.protocol,
            role="disease",
            rng=context.rng(),
        )
        return context.result(head.score(context.embed_test()))
