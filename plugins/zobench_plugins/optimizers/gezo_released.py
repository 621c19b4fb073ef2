"""GeZO as in its authors' public code, which differs from the paper.

There is one update per epoch. Each of C perturbations is tried on a few minibatches in both
directions. The code compares losses only after the loop over directions, so it sees only the loss
of the + direction: the - direction costs queries but can never win. Every epoch resets the
velocity, so the momentum has no effect, and the step size never decays. The code's settings are
step 0.03, C=10, two minibatches of 128 and lambda=0.001: give ``--batch-size 128 --penalty 0.001``
for the last two.
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
class GezoReleasedParameters:
    """Settings of the public code."""

    samples: int = parameter(10, "C, perturbations per epoch", low=1, high=1000)
    minibatches: int = parameter(
        2, "minibatches that each perturbation is tried on", low=1, high=1000
    )
    step: float = parameter(0.03, "scale of a perturbation, in units of the pixel range", low=0)


class GezoReleased(Stateful):
    """One ask is one epoch. Recommends the last iterate."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered = ("edit", "epoch", "rng")

    def __init__(self, context: OptimizerContext, parameters: GezoReleasedParameters) -> None:
        self._p = parameters
        self.rng = context.rng
        self._shape = context.space.shape
        self.edit = torch.zeros(self._shape, dtype=torch.float32)
        self.epoch = 0

    def ask(self) -> Ask:
        """Each perturbation on each of its minibatches, - before +."""
        self._deltas = gaussian(self.rng, self._p.samples, self._shape) * self._p.step
        both = torch.stack([self.edit - self._deltas, self.edit + self._deltas], dim=1)
        points = both.repeat_interleave(self._p.minibatches, dim=0).flatten(0, 1)
        count = self._p.samples * self._p.minibatches
        numbers = self.epoch * count + np.arange(count, dtype=np.int64)
        return Ask(points, np.repeat(numbers, 2))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Moves the edit along the + direction with the lowest loss, even if no loss improved."""
        plus = answer.values[1::2]
        self.edit = self.edit + self._deltas[int(plus.argmin()) // self._p.minibatches]
        self.epoch += 1

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self.edit
