"""SPSA: simultaneous perturbation with automatic gains.

Spall, "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient
Approximation", IEEE Trans. Automatic Control 1992; gains after Spall, "Implementation of the
Simultaneous Perturbation Algorithm for Stochastic Optimization", IEEE Trans. AES 1998, section III:
``a_k = a / (A + k)^0.602`` and ``c_k = c / k^0.101`` with A a tenth of the expected iterations, c
near the noise of one evaluation, and a such that the first step has a chosen size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError

from .two_point import antithetic, bernoulli, mean_along, slopes

LEAST_RADIUS = 0.002
"""Lower limit of an automatic c, for objectives with almost no noise."""


@dataclass(frozen=True)
class SpsaParameters:
    """Hyperparameters of SPSA; the gains are computed from them."""

    first_step: float = parameter(
        0.01, "wanted size of the first step of a coordinate, in pixel range", low=0
    )
    pairs: int = parameter(
        1, "directions averaged per iteration, two evaluations each", low=1, high=1000
    )
    radius: float = parameter(0.0, "c; 0 takes the noise of an evaluation at the origin", low=0)
    largest_radius: float = parameter(0.05, "upper limit of an automatic c", low=LEAST_RADIUS)
    trials: int = parameter(4, "number of evaluations for c, then of pairs for a", low=2, high=1000)
    alpha: float = parameter(0.602, "decay of a_k", low=0, high=2)
    gamma: float = parameter(0.101, "decay of c_k", low=0, high=1)


class Spsa(Stateful):
    """Two asks choose the gains; then one ask is one iteration. Recommends the last iterate.

    Raises:
        ConfigError: The budget is too small for the gains and one iteration.
    """

    feedback: ClassVar[Feedback] = "value"
    remembered = ("edit", "minibatch", "iteration", "phase", "a", "c", "stability", "rng")

    def __init__(self, context: OptimizerContext, parameters: SpsaParameters) -> None:
        self._p = p = parameters
        gains = p.trials * (2 if p.radius else 3)
        least = context.batch_size * (gains + 2 * p.pairs)
        if context.budget < least:
            raise ConfigError(
                f"spsa needs {context.batch_size * gains:,} queries for its gains and "
                f"{2 * p.pairs * context.batch_size:,} for a step, {least:,} in all, but has "
                f"{context.budget:,} (an optimizer around it keeps a part of the budget); raise "
                "--budget, or lower --batch-size, or the trials or pairs of spsa"
            )
        self.rng = context.rng
        self._shape = context.space.shape
        self.edit = torch.zeros(self._shape, dtype=torch.float32)
        self.minibatch = 0
        self.iteration = 1
        self.phase = "noise" if parameters.radius == 0 else "slope"
        self.a = 0.0
        self.c = parameters.radius
        iterations = context.budget // (2 * parameters.pairs * context.batch_size)
        self.stability = 0.1 * iterations

    def ask(self) -> Ask:
        """Evaluations at the origin, then pairs to learn the slope, then iterations."""
        if self.phase == "noise":
            return Ask(self.edit.expand(self._p.trials, *self._shape), self._numbers(1))
        count = self._p.trials if self.phase == "slope" else self._p.pairs
        self._directions = bernoulli(self.rng, count, self._shape)
        self._radius = self.c / self.iteration**self._p.gamma
        return Ask(antithetic(self.edit, self._directions, self._radius), self._numbers(2))

    def _numbers(self, repeats: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.repeat(self.minibatch + np.arange(self._minibatches(), dtype=np.int64), repeats)

    def _minibatches(self) -> int:
        """The number of minibatches of an ask."""
        return self._p.pairs if self.phase == "iterate" else self._p.trials

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Chooses c after the first ask and a after the second; then takes one step per ask."""
        self.minibatch += self._minibatches()
        if self.phase == "noise":
            noise = float(answer.values.std())
            self.c = min(max(noise, LEAST_RADIUS), self._p.largest_radius)
            self.phase = "slope"
            return
        measured = slopes(answer.values, self._radius)
        if self.phase == "slope":
            usual = float(measured.abs().mean()) / self._p.pairs**0.5
            self.a = self._p.first_step * (self.stability + 1) ** self._p.alpha / max(usual, 1e-12)
            self.phase = "iterate"
            return
        self.step(mean_along(measured, self._directions))
        self.iteration += 1

    def step(self, gradient: Tensor) -> None:
        """Takes one Robbins-Monro step."""
        self.edit = self.edit - self.gain() * gradient

    def gain(self) -> float:
        """The gain a_k."""
        return float(self.a / (self.stability + self.iteration) ** self._p.alpha)

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self.edit
