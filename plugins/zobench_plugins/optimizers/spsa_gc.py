"""SPSA-GC: SPSA with a gradient correction after Nesterov.

Oh et al., "BlackVIP: Black-Box Visual Prompting for Robust Transfer Learning", CVPR 2023, section
4.2: the gradient is estimated at the point to which the momentum moves the edit,
``m <- beta m - a_k g(x + beta m)`` and ``x <- x + m``. Perturbations are uniform on the two
segments +-[0.5, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import OptimizerContext
from zobench.contracts.parameters import parameter

from .two_point import TwoPoint, mean_along


@dataclass(frozen=True)
class SpsaGcParameters:
    """Hyperparameters of SPSA-GC."""

    lr: float = parameter(0.01, "a of a_k = a / (A + k)^0.6, on the estimated gradient", low=0)
    radius: float = parameter(0.01, "c of c_k = c / k^0.1, in pixel range", low=1e-6)
    pairs: int = parameter(
        5, "directions averaged per step, two evaluations each", low=1, high=1000
    )
    momentum: float = parameter(0.9, "beta, weight of the old momentum", low=0, high=0.9999)
    stability: float = parameter(1.0, "A of a_k", low=0)


class SpsaGc(TwoPoint):
    """Two-point estimates at the look-ahead point, and steps with momentum."""

    remembered = (*TwoPoint.remembered, "velocity", "radius")

    def __init__(self, context: OptimizerContext, parameters: SpsaGcParameters) -> None:
        super().__init__(context, parameters.pairs, parameters.radius)
        self.velocity = torch.zeros(self.shape, dtype=torch.float32)
        self._p = parameters

    def draw(self) -> Tensor:
        """Directions uniform on +-[0.5, 1]; their inverse is bounded, as SPSA requires."""
        sizes = self.rng.uniform(0.5, 1.0, (self.pairs, *self.shape)).astype(np.float32)
        signs = self.rng.integers(0, 2, sizes.shape, dtype=np.int8) * 2 - 1
        return torch.from_numpy(sizes * signs)

    def estimate(self, measured: Tensor, directions: Tensor) -> Tensor:
        """The slopes divided by each coordinate of their direction (Spall 1992, Eq. 2.2)."""
        return mean_along(measured, directions.reciprocal())

    def center(self) -> Tensor:
        """The point to which the momentum moves the edit."""
        return self.edit + self._p.momentum * self.velocity

    def step(self, gradient: Tensor) -> None:
        """The corrected step, with both gains decaying."""
        gain = self._p.lr / (self._p.stability + self.steps + 1) ** 0.6
        self.velocity = self._p.momentum * self.velocity - gain * gradient
        self.edit = self.edit + self.velocity
        self.radius = self._p.radius / (self.steps + 2) ** 0.1
