"""White-box DNE as in its authors' public code: lr 5e-5, and a new Adam in every epoch.

The paper says lr 0.01. The code also uses lambda=0.001: give ``--penalty 0.001``. Every epoch
resets the moments, so the first step of an epoch has full size in every pixel.
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

BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class AdamReleasedParameters:
    """Settings of the public code."""

    lr: float = parameter(5e-5, "learning rate, in units of the pixel range", low=0)
    iterations: int = parameter(
        12, "steps per epoch; about training images / batch size", low=1, high=10_000
    )


class AdamReleased(Stateful):
    """One gradient per ask. Recommends the last iterate."""

    feedback: ClassVar[Feedback] = "gradient"
    paced: ClassVar[bool] = False
    remembered = ("edit", "mean", "square", "steps")

    def __init__(self, context: OptimizerContext, parameters: AdamReleasedParameters) -> None:
        self._p = parameters
        self.edit = torch.zeros(context.space.shape, dtype=torch.float32)
        self.mean = torch.zeros(context.space.shape, dtype=torch.float32)
        self.square = torch.zeros(context.space.shape, dtype=torch.float32)
        self.steps = 0

    def ask(self) -> Ask:
        """The gradient at the current edit."""
        return Ask(self.edit[None], np.array([self.steps], dtype=np.int64), want="gradient")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Takes one step of Adam; every epoch resets the moments and the step count."""
        if answer.gradients is None:
            raise ValueError("adam-released needs the gradients that it asked for")
        within = self.steps % self._p.iterations
        if within == 0:
            self.mean, self.square = torch.zeros_like(self.mean), torch.zeros_like(self.square)
        self.mean, self.square, direction = adam_direction(
            self.mean, self.square, answer.gradients[0], within + 1, BETAS
        )
        self.edit = self.edit - self._p.lr * direction
        self.steps += 1

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self.edit
