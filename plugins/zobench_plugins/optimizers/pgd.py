"""PGD: white-box signed gradient steps within a box.

Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial
Attacks", ICLR 2018, with the minibatches of a universal perturbation (Moosavi-Dezfooli et al. 2017).
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


@dataclass(frozen=True)
class PgdParameters:
    """Hyperparameters of PGD."""

    step: float = parameter(0.005, "step of every coordinate, in pixel range", low=0)
    limit: float = parameter(0.05, "largest absolute value of a coordinate", low=0)


class Pgd(Stateful):
    """One gradient per ask. Recommends the last iterate."""

    feedback: ClassVar[Feedback] = "gradient"
    paced: ClassVar[bool] = False
    remembered = ("edit", "steps")

    def __init__(self, context: OptimizerContext, parameters: PgdParameters) -> None:
        self._p = parameters
        self.edit = torch.zeros(context.space.shape, dtype=torch.float32)
        self.steps = 0

    def ask(self) -> Ask:
        """The gradient at the current edit."""
        return Ask(self.edit[None], np.array([self.steps], dtype=np.int64), want="gradient")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """A signed step, then back into the box."""
        if answer.gradients is None:
            raise ValueError("pgd needs the gradients that it asked for")
        moved = self.edit - self._p.step * answer.gradients[0].sign()
        self.edit = moved.clamp(-self._p.limit, self._p.limit)
        self.steps += 1

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self.edit
