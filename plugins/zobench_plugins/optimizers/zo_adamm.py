"""ZO-AdaMM: AMSGrad on two-point estimates.

Chen, Liu, Xu, Li, Lin, Hong, Cox, "ZO-AdaMM: Zeroth-Order Adaptive Momentum Method for Black-Box
Optimization", NeurIPS 2019, Algorithm 1, without constraints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zobench.contracts.optimizer import OptimizerContext
from zobench.contracts.parameters import parameter

from .two_point import TwoPoint


@dataclass(frozen=True)
class ZoAdammParameters:
    """Hyperparameters of ZO-AdaMM."""

    lr: float = parameter(0.01, "learning rate, in pixel range", low=0)
    radius: float = parameter(
        0.01, "distance of a trial along a direction, in pixel range", low=1e-6
    )
    pairs: int = parameter(
        5, "directions averaged per step, two evaluations each", low=1, high=1000
    )
    beta1: float = parameter(0.9, "decay of the mean gradient", low=0, high=0.999999)
    beta2: float = parameter(0.99, "decay of the mean squared gradient", low=0, high=0.999999)


class ZoAdamm(TwoPoint):
    """Adam with the largest second moment so far; no bias correction, as published."""

    remembered = (*TwoPoint.remembered, "mean", "square", "largest")

    def __init__(self, context: OptimizerContext, parameters: ZoAdammParameters) -> None:
        super().__init__(context, parameters.pairs, parameters.radius)
        self.mean = torch.zeros(self.shape, dtype=torch.float32)
        self.square = torch.zeros(self.shape, dtype=torch.float32)
        self.largest = torch.zeros(self.shape, dtype=torch.float32)
        self._p = parameters

    def step(self, gradient: Tensor) -> None:
        """Takes one step: lines 5 to 9 of Algorithm 1."""
        beta1, beta2 = self._p.beta1, self._p.beta2
        self.mean = beta1 * self.mean + (1.0 - beta1) * gradient
        self.square = beta2 * self.square + (1.0 - beta2) * gradient**2
        self.largest = torch.maximum(self.largest, self.square)
        self.edit = self.edit - self._p.lr * self.mean / (self.largest.sqrt() + 1e-12)
