"""sep-CMA-ES: evolution with a diagonal covariance, linear in time and memory.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN
2008; weights and constants as in Hansen, "The CMA Evolution Strategy: A Tutorial", 2016, with the
learning rates of the covariance scaled by (d + 2) / 3 as sep-CMA-ES does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful

from .two_point import gaussian


@dataclass(frozen=True)
class SepCmaParameters:
    """Hyperparameters of sep-CMA-ES."""

    sigma: float = parameter(0.02, "first step size, in pixel range", low=1e-9)
    population: int = parameter(0, "points per generation; 0 means 4 + 3 ln d", low=0, high=10_000)


class SepCma(Stateful):
    """One generation per ask, on one minibatch. Recommends the mean of the search."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered = ("mean", "sigma", "variance", "path_sigma", "path", "generation", "rng")

    def __init__(self, context: OptimizerContext, parameters: SepCmaParameters) -> None:
        self.rng = context.rng
        self._shape = shape = context.space.shape
        d = math.prod(shape)
        self._size = parameters.population or 4 + int(3 * math.log(d))
        self._size = max(self._size, 2)
        parents = self._size // 2
        weights = math.log((self._size + 1) / 2) - np.log(np.arange(1, parents + 1))
        weights /= weights.sum()
        self._weights = torch.from_numpy(weights.astype(np.float32))
        mu = 1.0 / float((weights**2).sum())
        self._mu = mu
        self._c_sigma = (mu + 2) / (d + mu + 5)
        self._damping = 1 + 2 * max(0.0, math.sqrt((mu - 1) / (d + 1)) - 1) + self._c_sigma
        self._c_path = (4 + mu / d) / (d + 4 + 2 * mu / d)
        faster = (d + 2) / 3
        c_one = 2 / ((d + 1.3) ** 2 + mu)
        self._c_one = min(1.0, faster * c_one)
        c_mu = min(1 - c_one, 2 * (mu - 2 + 1 / mu) / ((d + 2) ** 2 + mu))
        self._c_mu = min(1 - self._c_one, faster * c_mu)
        self._norm = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))
        self.mean = torch.zeros(shape, dtype=torch.float32)
        self.sigma = parameters.sigma
        self.variance = torch.ones(shape, dtype=torch.float32)
        self.path_sigma = torch.zeros(shape, dtype=torch.float32)
        self.path = torch.zeros(shape, dtype=torch.float32)
        self.generation = 0

    def ask(self) -> Ask:
        """One generation."""
        self._drawn = gaussian(self.rng, self._size, self._shape)
        points = self.mean + self.sigma * self.variance.sqrt() * self._drawn
        return Ask(points, np.full(self._size, self.generation, dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Mean, paths, diagonal, step size: the tutorial's equations 41 to 47 without rotation."""
        self.generation += 1
        order = answer.values.argsort(stable=True)[: len(self._weights)]
        z = self._drawn[order]
        deviation = self.variance.sqrt()
        z_mean = torch.tensordot(self._weights, z, dims=1)
        self.mean = self.mean + self.sigma * deviation * z_mean
        cs, cc = self._c_sigma, self._c_path
        self.path_sigma = (1 - cs) * self.path_sigma + math.sqrt(cs * (2 - cs) * self._mu) * z_mean
        length = float(self.path_sigma.norm())
        grown = math.sqrt(1 - (1 - cs) ** (2 * self.generation)) * self._norm
        d = self.mean.numel()
        keep = float(length / grown < 1.4 + 2 / (d + 1))
        push = keep * math.sqrt(cc * (2 - cc) * self._mu)
        self.path = (1 - cc) * self.path + push * deviation * z_mean
        rank_mu = self.variance * torch.tensordot(self._weights, z**2, dims=1)
        lost = (1 - keep) * cc * (2 - cc)
        self.variance = (
            (1 - self._c_one - self._c_mu + self._c_one * lost) * self.variance
            + self._c_one * self.path**2
            + self._c_mu * rank_mu
        )
        self.sigma *= math.exp(min(1.0, (cs / self._damping) * (length / self._norm - 1)))

    def recommend(self) -> Tensor:
        """The mean of the search."""
        return self.mean
