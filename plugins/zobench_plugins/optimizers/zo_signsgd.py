"""ZO-signSGD: only the signs of the estimated gradient count.

Liu, Chen, Chen, Hong, "signSGD via Zeroth-Order Oracle", ICLR 2019, Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zobench.contracts.optimizer import OptimizerContext
from zobench.contracts.parameters import parameter

from .two_point import TwoPoint


@dataclass(frozen=True)
class ZoSignSgdParameters:
    """Hyperparameters of ZO-signSGD."""

    lr: float = parameter(0.005, "step of every coordinate, in pixel range", low=0)
    radius: float = parameter(
        0.01, "distance of a trial along a direction, in pixel range", low=1e-6
    )
    pairs: int = parameter(
        10, "directions averaged per step, two evaluations each", low=1, high=1000
    )


class ZoSignSgd(TwoPoint):
    """Every coordinate moves by the same amount."""

    def __init__(self, context: OptimizerContext, parameters: ZoSignSgdParameters) -> None:
        super().__init__(context, parameters.pairs, parameters.radius)
        self._lr = parameters.lr

    def step(self, gradient: Tensor) -> None:
        """Takes a step against the signs of the gradient."""
        self.edit = self.edit - self._lr * gradient.sign()
