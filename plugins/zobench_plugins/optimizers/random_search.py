"""Random search: the baseline that everything else must beat.

A step is kept where it lowers the objective on the minibatch that the edit is measured on at the
same time (Rastrigin 1963); nothing is learnt from steps that are not kept.
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
    candidates: int = parameter(4, "steps tried beside the edit itself", low=1)


class RandomSearch(Stateful):
    """The best of a few random steps, or none. Recommends the edit, never a lucky candidate."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("edit", "steps", "rng")

    def __init__(self, context: OptimizerContext, parameters: RandomSearchParameters) -> None:
        self._p = parameters
        self.rng = context.rng
        self._shape = context.space.shape
        self.edit = torch.zeros(self._shape)
        self.steps = 0

    def ask(self) -> Ask:
        """The edit and its candidates, all on one fresh minibatch."""
        moves = gaussian(self.rng, self._p.candidates, self._shape) * self._p.step
        points = torch.cat([self.edit[None], self.edit + moves])
        return Ask(points, np.full(len(points), self.steps, dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Goes to the best of them."""
        self.edit = ask.points[int(answer.values.argmin())]
        self.steps += 1

    def recommend(self) -> Tensor:
        """Where the search stands."""
        return self.edit
