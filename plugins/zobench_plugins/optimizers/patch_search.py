"""Patch search: random squares of one brightness, kept where they lower the objective.

After Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a Query-Efficient Black-Box Adversarial
Attack via Random Search", ECCV 2020: squares shrink as the budget is spent. Unlike Square Attack,
all images share the edit, which starts from zero. Each square is added to the edit, so pixels
outside of all kept squares do not change.
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

SCHEDULE = (0.05, 0.2, 0.5)
"""Shares of the budget after which the area of a square is halved."""


@dataclass(frozen=True)
class PatchSearchParameters:
    """Hyperparameters of patch search."""

    brightness: float = parameter(0.3, "absolute change by a square, in pixel range", low=0)
    limit: float = parameter(0.6, "largest absolute value of the edit", low=0)
    area: float = parameter(0.1, "share of the image that the first squares cover", low=0, high=1)
    candidates: int = parameter(
        4, "squares tried per step, beside the edit itself", low=1, high=1000
    )


class PatchSearch(Stateful):
    """One step per ask; edit and candidates share one minibatch. Recommends the edit."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("edit", "steps", "rng")

    def __init__(self, context: OptimizerContext, parameters: PatchSearchParameters) -> None:
        self._p = parameters
        self.rng = context.rng
        self.edit = torch.zeros(context.space.shape, dtype=torch.float32)
        self.steps = 0
        self._planned = context.budget / (context.batch_size * (parameters.candidates + 1))

    def side(self) -> float:
        """Side of a square, as a share of the image's."""
        spent = self.steps / self._planned
        halvings = sum(spent >= share for share in SCHEDULE)
        return math.sqrt(self._p.area * 0.5**halvings)

    def ask(self) -> Ask:
        """The edit, and the edit with each of a few squares."""
        points = [self.edit] + [self._with_square() for _ in range(self._p.candidates)]
        return Ask(torch.stack(points), np.full(len(points), self.steps, dtype=np.int64))

    def _with_square(self) -> Tensor:
        height, width = self.edit.shape[-2:]
        down, across = (max(1, round(self.side() * length)) for length in (height, width))
        top = int(self.rng.integers(height - down + 1))
        left = int(self.rng.integers(width - across + 1))
        change = self._p.brightness * (1.0 if self.rng.random() < 0.5 else -1.0)
        changed = self.edit.clone()
        window = changed[..., top : top + down, left : left + across]
        window.add_(change).clamp_(-self._p.limit, self._p.limit)
        return changed

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Moves to the point with the lowest value; on a tie the edit stays."""
        self.edit = ask.points[int(answer.values.argmin())].clone()
        self.steps += 1

    def recommend(self) -> Tensor:
        """The current edit."""
        return self.edit
