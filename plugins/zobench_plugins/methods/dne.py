"""Debiased noise editing (Jin et al. 2024), with any optimizer: adds one noise to all images."""

from __future__ import annotations

from typing import ClassVar

from zobench.contracts.method import MethodContext, MethodResult


class Dne:
    """``dne:adam`` is the paper's DNE, ``dne:gezo`` its DNE-GeZO; any other optimizer works too."""

    needs_queries: ClassVar[bool] = True

    def __init__(self, context: MethodContext) -> None:
        self._context = context

    def solve(self) -> MethodResult:
        """Learns the noise within the budget; the head is fitted on images that carry it."""
        return self._context.optimize(self._context.argument)
