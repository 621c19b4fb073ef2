"""Random search: the baseline for all other optimizers.

A step is kept if it lowers the objective on a minibatch, compared with the edit on the same
minibatch (Rastrigin 1963). Rejected steps have no effect.
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

from .two_point import gaussian


@dataclass(frozen=True)
class RandomSearchParameters:
    """Hyperparameters of random search."""

    step: float = parameter(0.01, "standard deviation of a step, in pixel range", low=0)
    candidates: int = parameter(4, "steps tried beside the edit itself", low=1, high=1000)


class RandomSearch(Stateful):
    """Keeps the best of a few random steps, or none. Recommends the current edit."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered = ("edit", "steps", "rng")

    def __init__(self, context: OptimizerContext, parameters: RandomSearchParameters) -> None:
        self._p = parameters
        self.rng = context.rng
        self._shape = context.space.shape
        self.edit = torch.zeros(self._shape, dtype=torch.float32)
        self.steps = 0

    def ask(self) -> Ask:
        """The edit and its candidates, all on one fresh minibatch."""
        moves = gaussian(self.rng, self._p.candidates, self._shape) * self._p.step
        points = torch.cat([self.edit[None], self.edit + moves])
        return Ask(points, np.full(len(points), self.steps, dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Moves to the point with the lowest value."""
        self.edit = ask.points[int(answer.values.argmin())]
        self.steps += 1

    def recommend(self) -> Tensor:
        """The current edit."""
        return self.edit
