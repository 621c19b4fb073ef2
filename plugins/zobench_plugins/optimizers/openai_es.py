"""OpenAI-ES: antithetic Gaussian search, centred ranks in place of values, Adam on the estimate.

Salimans, Ho, Chen, Sidor, Sutskever, "Evolution Strategies as a Scalable Alternative to
Reinforcement Learning", 2017. Because of the ranks, the step does not depend on the scale of the
objective or on outliers. All points of a step share one minibatch: ranks across minibatches would
compare images instead of points.
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

from .moments import adam_direction
from .two_point import antithetic, gaussian, mean_along


@dataclass(frozen=True)
class OpenaiEsParameters:
    """Hyperparameters of OpenAI-ES."""

    sigma: float = parameter(0.02, "standard deviation of the search, in pixel range", low=1e-6)
    lr: float = parameter(0.01, "learning rate of Adam, in pixel range", low=0)
    pairs: int = parameter(5, "antithetic pairs per step, two evaluations each", low=1, high=1000)
    beta1: float = parameter(0.9, "decay of the mean gradient", low=0, high=0.999999)
    beta2: float = parameter(0.999, "decay of the mean squared gradient", low=0, high=0.999999)


class OpenaiEs(Stateful):
    """One generation per ask. Recommends the mean of the search."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered = ("edit", "mean", "square", "steps", "rng")

    def __init__(self, context: OptimizerContext, parameters: OpenaiEsParameters) -> None:
        self._p = parameters
        self.rng = context.rng
        self._shape = context.space.shape
        self.edit = torch.zeros(self._shape, dtype=torch.float32)
        self.mean = torch.zeros(self._shape, dtype=torch.float32)
        self.square = torch.zeros(self._shape, dtype=torch.float32)
        self.steps = 0

    def ask(self) -> Ask:
        """All pairs on one minibatch."""
        self._directions = gaussian(self.rng, self._p.pairs, self._shape)
        points = antithetic(self.edit, self._directions, self._p.sigma)
        return Ask(points, np.full(len(points), self.steps, dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Ranks the values, estimates the gradient, and takes one step of Adam."""
        ranks = centred_ranks(answer.values)
        gradient = mean_along(ranks[0::2] - ranks[1::2], self._directions)
        self.steps += 1
        self.mean, self.square, direction = adam_direction(
            self.mean, self.square, gradient, self.steps, (self._p.beta1, self._p.beta2)
        )
        self.edit = self.edit - self._p.lr * direction

    def recommend(self) -> Tensor:
        """The mean of the search."""
        return self.edit


def centred_ranks(values: Tensor) -> Tensor:
    """Ranks of ``(K,)`` values, evenly from -0.5 (the lowest) to 0.5; ``(K,)`` float32."""
    ranks = torch.empty(len(values), dtype=torch.float32)
    ranks[values.argsort()] = torch.linspace(-0.5, 0.5, len(values), dtype=torch.float32)
    return ranks
