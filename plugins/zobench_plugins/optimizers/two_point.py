"""Shared code of zeroth-order optimizers: antithetic pairs of points, and their slopes.

Both points of a pair share one minibatch (common random numbers), so minibatch noise cancels in
their difference. Each pair has its own minibatch, so the mean over pairs also averages over images.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.stateful import Stateful


def antithetic(center: Tensor, directions: Tensor, radius: float) -> Tensor:
    """Points ``(2q, *shape)``: plus and minus ``radius`` along each of ``(q, *shape)``, in turn."""
    points = torch.empty((2 * len(directions), *center.shape))
    torch.add(center, directions, alpha=radius, out=points[0::2])
    torch.sub(center, directions, alpha=radius, out=points[1::2])
    return points


def slopes(values: Tensor, radius: float) -> Tensor:
    """Central differences ``(q,)`` float32 of the values ``(2q,)`` at :func:`antithetic` points."""
    return ((values[0::2] - values[1::2]) / (2.0 * radius)).float()


def mean_along(weights: Tensor, directions: Tensor) -> Tensor:
    """The mean of ``weights[i] * directions[i]``, ``shape``."""
    mean: Tensor = torch.tensordot(weights, directions, dims=1) / len(weights)
    return mean


def gaussian(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal directions ``(count, *shape)``."""
    return torch.from_numpy(rng.standard_normal((count, *shape), dtype=np.float32))


def bernoulli(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> Tensor:
    """Directions of plus and minus one, ``(count, *shape)``."""
    signs = rng.integers(0, 2, (count, *shape), dtype=np.int8)
    return torch.from_numpy(signs).float() * 2.0 - 1.0


class TwoPoint(Stateful):
    """Base class of optimizers whose step needs only an estimate of the gradient.

    The last iterate is recommended, without a comparison of values, so minibatch noise cannot
    favour a point.
    """

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered: ClassVar[tuple[str, ...]] = ("edit", "steps", "rng")

    def __init__(self, context: OptimizerContext, pairs: int, radius: float) -> None:
        self.rng = context.rng
        self.shape = context.space.shape
        self.edit = torch.zeros(self.shape, dtype=torch.float32)
        self.steps = 0
        self.pairs = pairs
        self.radius = radius

    def draw(self) -> Tensor:
        """Directions ``(pairs, *shape)``; Gaussian unless a subclass overrides this method."""
        return gaussian(self.rng, self.pairs, self.shape)

    def center(self) -> Tensor:
        """The point at which the gradient is estimated."""
        return self.edit

    def step(self, gradient: Tensor) -> None:
        """Moves :attr:`edit`."""
        raise NotImplementedError

    def ask(self) -> Ask:
        """All pairs of one estimate."""
        self._directions = self.draw()
        numbers = self.steps * self.pairs + np.arange(self.pairs, dtype=np.int64)
        points = antithetic(self.center(), self._directions, self.radius)
        return Ask(points, np.repeat(numbers, 2))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Estimates the gradient and takes one step."""
        self.step(self.estimate(slopes(answer.values, self.radius), self._directions))
        self.steps += 1

    def estimate(self, measured: Tensor, directions: Tensor) -> Tensor:
        """The gradient from the slopes ``(q,)`` measured along directions ``(q, *shape)``."""
        return mean_along(measured, directions)

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self.edit
