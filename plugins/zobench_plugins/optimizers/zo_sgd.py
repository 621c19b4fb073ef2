"""ZO-SGD: two-point Gaussian gradient estimates, averaged over directions, with momentum.

Ghadimi and Lan, "Stochastic First- and Zeroth-Order Methods for Nonconvex Stochastic Programming",
SIAM J. Optim. 2013; averaging over directions as in Duchi et al. 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zobench.contracts.optimizer import OptimizerContext
from zobench.contracts.parameters import parameter

from .two_point import TwoPoint


@dataclass(frozen=True)
class ZoSgdParameters:
    """Hyperparameters of ZO-SGD."""

    lr: float = parameter(0.03, "learning rate on the estimated gradient", low=0)
    radius: float = parameter(
        0.01, "distance of a trial along a direction, in pixel range", low=1e-6
    )
    pairs: int = parameter(
        5, "directions averaged per step, two evaluations each", low=1, high=1000
    )
    momentum: float = parameter(0.9, "weight of the old velocity", low=0, high=0.9999)


class ZoSgd(TwoPoint):
    """Steps against the velocity, a running mean of gradient estimates."""

    remembered = (*TwoPoint.remembered, "velocity")

    def __init__(self, context: OptimizerContext, parameters: ZoSgdParameters) -> None:
        super().__init__(context, parameters.pairs, parameters.radius)
        self.velocity = torch.zeros(self.shape, dtype=torch.float32)
        self._p = parameters

    def step(self, gradient: Tensor) -> None:
        """Heavy ball; the velocity is a mean, so momentum does not change the step's size."""
        keep = self._p.momentum
        self.velocity = keep * self.velocity + (1.0 - keep) * gradient
        self.edit = self.edit - self._p.lr * self.velocity
