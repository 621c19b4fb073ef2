"""MeZO: two evaluations per step; of a direction only its seed is stored.

Malladi et al., "Fine-Tuning Language Models with Just Forward Passes", NeurIPS 2023, Algorithm 1.
Memory holds the edit and at most one direction, which is drawn again from its seed when needed.
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

from .two_point import antithetic, gaussian, slopes


@dataclass(frozen=True)
class MezoParameters:
    """Hyperparameters of MeZO."""

    lr: float = parameter(0.01, "learning rate on the projected gradient", low=0)
    radius: float = parameter(
        0.01, "distance of a trial along the direction, in pixel range", low=1e-6
    )


class Mezo(Stateful):
    """One pair per step; the step follows the pair's direction. Recommends the last iterate."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered = ("edit", "steps", "seed", "rng")

    def __init__(self, context: OptimizerContext, parameters: MezoParameters) -> None:
        self._p = parameters
        self.rng = context.rng
        self._shape = context.space.shape
        self.edit = torch.zeros(self._shape, dtype=torch.float32)
        self.steps = 0
        self.seed = 0

    def _direction(self) -> Tensor:
        return gaussian(np.random.default_rng(self.seed), 1, self._shape)

    def ask(self) -> Ask:
        """Both points of a fresh direction on one minibatch."""
        self.seed = int(self.rng.integers(2**62))
        points = antithetic(self.edit, self._direction(), self._p.radius)
        return Ask(points, np.array([self.steps, self.steps], dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Draws the direction again and steps along it, in place."""
        projected = float(slopes(answer.values, self._p.radius)[0])
        self.edit.add_(self._direction()[0], alpha=-self._p.lr * projected)
        self.steps += 1

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self.edit.clone()
