"""Training on balanced subsets, as in deep feature reweighting.

Kirichenko, Izmailov, Wilson, "Last Layer Re-Training is Sufficient for Robustness to Spurious
Correlations", ICLR 2023. The disease head is the mean of heads that are each fitted on a random
subset of the training images with equally many images of every cell of (disease, SA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.problem.heads import fit_head


@dataclass(frozen=True)
class BalancedSubsetParameters:
    """The number of subsets."""

    subsets: int = parameter(10, "balanced subsets, each with a head of its own", low=1, high=1000)


class BalancedSubset:
    """The mean of disease heads on balanced subsets."""

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext, parameters: BalancedSubsetParameters) -> None:
        self._context, self._parameters = context, parameters

    def solve(self) -> MethodResult:
        """Fits the heads and predicts with their mean score."""
        context, train, rng = self._context, self._context.train, self._context.rng()
        clean, test = context.embed_train(), context.embed_test()
        cell = 2 * train.label + train.sensitive
        cells = [np.flatnonzero(cell == number) for number in np.unique(cell)]
        share = min(map(len, cells))
        scores = np.zeros(len(test))
        for _ in range(self._parameters.subsets):
            rows = np.concatenate([rng.choice(members, share, replace=False) for members in cells])
            head = fit_head(
                clean[rows], train.label[rows], protocol=context.protocol, role="disease", rng=rng
            )
            scores += head.score(test) / self._parameters.subsets
        return context.result(scores, images=share * len(cells))
