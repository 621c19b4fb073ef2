"""A noisy convex bowl for tests of optimizers; it replaces encoder, images and labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.handover import taken_ask
from zobench.contracts.optimizer import Answer, OptimizerContext
from zobench.problem.spaces import PixelSpace

DISTANCE = 0.05
"""Root mean square of the best point; optimizers reach it in a few steps of usual size."""
NOISE = 0.2
"""Distance of a minibatch's best point from the best point, relative to ``DISTANCE``."""
EMBEDDING = 5


class ToyOracle:
    """Answers asks by ``mean((point - best_m)**2)``, where ``best_m`` belongs to the minibatch.

    Equal minibatch numbers give the same ``best_m``, as equal numbers mean equal images in a run.

    Args:
        side: Points are ``(1, side, side)``.
        batch_size: Images per minibatch, which is also queries per evaluation.
        budget: The budget in the optimizer's context.
    """

    def __init__(self, side: int = 8, batch_size: int = 4, budget: int = 4000) -> None:
        self.space = PixelSpace(side, side)
        self.batch_size, self.budget = batch_size, budget
        rng = np.random.default_rng(0)
        self.best = torch.from_numpy(DISTANCE * rng.standard_normal(self.space.shape)).float()

    def context(self, seed: int, argument: str = "") -> OptimizerContext:
        """The context that an optimizer is made with."""
        rng = np.random.default_rng(seed)
        return OptimizerContext(self.space, rng, self.budget, self.batch_size, argument)

    def query(self, found: object) -> Answer:
        """Values ``(K,)``, and embeddings or gradients where asked for."""
        ask = taken_ask(found, "under test", self.space.shape, "gradient")
        off = torch.stack(
            [
                point - self._best(int(number))
                for point, number in zip(ask.points, ask.minibatch, strict=True)
            ]
        ).double()
        values = (off**2).flatten(1).mean(1)
        embeddings = gradients = None
        if ask.want != "value":
            embeddings = (
                values.float()[:, None, None].expand(-1, self.batch_size, EMBEDDING).clone()
            )
        if ask.want == "gradient":
            gradients = (2 * off / off[0].numel()).float()
        return Answer(values, embeddings, gradients)

    def value(self, point: Tensor) -> float:
        """The bowl without noise, 1 at no edit and 0 at the best point."""
        return float(((point - self.best) ** 2).mean() / (self.best**2).mean())

    def _best(self, minibatch: int) -> Tensor:
        rng = np.random.default_rng([1, minibatch])
        noise = rng.standard_normal(self.space.shape)
        return self.best + NOISE * DISTANCE * torch.from_numpy(noise).float()
