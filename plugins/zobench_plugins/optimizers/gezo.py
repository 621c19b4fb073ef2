"""GeZO: greedy zeroth-order optimization, exactly as in Algorithm 1.

Jin, Deng, Chen, Li, "Universal Debiased Editing on Foundation Models for Fair Medical Image
Classification", 2024, Algorithm 1 (the preprint of "Debiased Noise Editing", MICCAI 2024).

An epoch has R iterations. Each draws C perturbations ``delta`` of scale s and evaluates both
``-delta`` and ``+delta`` on one minibatch. The signed perturbation with the lowest loss wins if its
loss is below the best loss of the epoch so far, although that loss may be from another minibatch. A
winner updates velocity and edit; without a winner s is multiplied by k. Every epoch resets
velocity, best loss and s.

The algorithm's last line returns ``eps^R``, the edit before the last update; its comment says "the
updated edit". This implementation follows the comment and keeps the last update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext, State
from zobench.contracts.parameters import parameter
from zobench.contracts.random_streams import dump_state, load_state

SIGNS = (-1.0, 1.0)


@dataclass(frozen=True)
class GezoParameters:
    """Hyperparameters, named as in Algorithm 1."""

    iterations: int = parameter(10, "R, local iterations per epoch", low=1, high=10_000)
    samples: int = parameter(10, "C, perturbations per iteration", low=1, high=1000)
    step: float = parameter(0.01, "s, scale of a perturbation, in units of the pixel range", low=0)
    momentum: float = parameter(0.9, "mu, weight of the old velocity", low=0, high=1)
    decay: float = parameter(
        0.95, "k, factor on s after an iteration without a winner", low=0, high=1
    )


class Gezo:
    """Algorithm 1 as ask and tell: one ask is one iteration, 2C points on C minibatches."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False

    def __init__(self, context: OptimizerContext, parameters: GezoParameters) -> None:
        self._rng = context.rng
        self._shape = context.space.shape
        self._p = parameters
        self._minibatch = 0
        self._edit = torch.zeros(self._shape, dtype=torch.float32)
        self._prepared: tuple[Tensor, str] | None = (
            None  # numbers, and the state before they were drawn
        )
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        """Line 2: resets velocity, best loss and step."""
        self._iteration = 0
        self._step = self._p.step
        self._velocity = torch.zeros(self._shape, dtype=torch.float32)
        self._best = math.inf

    def ask(self) -> Ask:
        """Lines 13 to 16: C perturbations in both directions."""
        noise = self._drawn() if self._prepared is None else self._prepared[0]
        self._prepared = None
        self._deltas = noise * self._step
        points = torch.empty((self._p.samples, len(SIGNS), *self._shape))
        for place, sign in enumerate(SIGNS):
            torch.add(self._edit, self._deltas, alpha=sign, out=points[:, place])
        numbers = self._minibatch + np.arange(self._p.samples, dtype=np.int64)
        return Ask(points.flatten(0, 1), np.repeat(numbers, len(SIGNS)))

    def prepare(self) -> None:
        """Draws the numbers of the next ask's perturbations."""
        if self._prepared is None:
            before = dump_state(self._rng)
            self._prepared = self._drawn(), before

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Lines 17 to 20 and 4 to 9: the winner, if any, moves velocity and edit."""
        winner = int(answer.values.argmin())  # the first of equal values, as with a strict <
        if float(answer.values[winner]) < self._best:
            self._best = float(answer.values[winner])
            sample, direction = divmod(winner, len(SIGNS))
            move = SIGNS[direction] * self._deltas[sample]
            self._velocity = self._p.momentum * self._velocity + move
            self._edit = self._edit + self._velocity
        else:
            self._step *= self._p.decay
        self._minibatch += self._p.samples
        self._iteration += 1
        if self._iteration == self._p.iterations:
            self._begin_epoch()

    def recommend(self) -> Tensor:
        """The current edit; the algorithm keeps no other."""
        return self._edit

    def state_dict(self) -> State:
        """Edit, velocity, best loss, step, counters and random state."""
        return {
            "edit": self._edit,
            "velocity": self._velocity,
            "best": repr(self._best),
            "step": self._step,
            "iteration": self._iteration,
            "minibatch": self._minibatch,
            "rng": dump_state(self._rng) if self._prepared is None else self._prepared[1],
        }

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        self._edit = torch.as_tensor(state["edit"])
        self._velocity = torch.as_tensor(state["velocity"])
        self._best = float(str(state["best"]))
        self._step = float(str(state["step"]))
        self._iteration = int(str(state["iteration"]))
        self._minibatch = int(str(state["minibatch"]))
        load_state(self._rng, str(state["rng"]))
        self._prepared = None

    def _drawn(self) -> Tensor:
        numbers = self._rng.standard_normal((self._p.samples, *self._shape), dtype=np.float32)
        return torch.from_numpy(numbers)
