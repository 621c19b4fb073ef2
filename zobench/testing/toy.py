"""A noisy convex bowl for tests of optimizers; it replaces encoder, images and labels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.client import Client
from zobench.contracts.dataset import Rows
from zobench.contracts.handover import AskRules, checked_ask, taken_ask
from zobench.contracts.optimizer import Answer, Feedback, OptimizerContext
from zobench.problem.heads import Head
from zobench.problem.spaces import PixelSpace

DISTANCE = 0.05
"""Root mean square of the best point; optimizers reach it in a few steps of usual size."""
NOISE = 0.2
"""Distance of a minibatch's best point from the best point, relative to ``DISTANCE``."""
IMAGES = 64
"""Training images, each with a best point of its own."""
GRID = 8
"""An embedding holds the means of 8 x 8 fields of the point minus the image's best point."""


class ToyOracle:
    """Answers asks by ``mean(m**2)``, where m is the mean embedding of the point's images.

    For points of 8 x 8 numbers this is ``mean((point - best_m)**2)``, where ``best_m`` is the mean
    of the images' best points. Equal minibatch numbers give the same images, as in a run.

    Attributes:
        space: The space of the points.
        batch_size: Images per minibatch.
        budget: The budget in the optimizer's context.
        feedback: The level of the answers.
        best: The best point over all images.
    """

    def __init__(
        self,
        side: int = 8,
        batch_size: int = 4,
        budget: int = 4000,
        feedback: Feedback = "gradient",
    ) -> None:
        """Draws the images.

        Args:
            side: Points are ``(1, side, side)``.
            batch_size: Images per minibatch, which is also queries per evaluation.
            budget: The budget in the optimizer's context.
            feedback: The level that the optimizer declares; its answers hold no more.
        """
        self.space = PixelSpace(side, side)
        self.batch_size, self.budget, self.feedback = batch_size, budget, feedback
        rng = np.random.default_rng(0)
        self.best = torch.from_numpy(DISTANCE * rng.standard_normal(self.space.shape)).float()
        apart = NOISE * DISTANCE * math.sqrt(batch_size) * rng.standard_normal((IMAGES, GRID**2))
        self._apart = torch.from_numpy(apart - apart.mean(0)).float()
        self._sensitive = torch.from_numpy((apart[:, 0] > 0).astype(np.int64))
        self._label = torch.from_numpy(rng.integers(0, 2, IMAGES))

    def context(self, seed: int) -> OptimizerContext:
        """The context that an optimizer is made with; ``build_optimizer`` adds its argument.

        The local encoder is the same for every name.
        """
        rng = np.random.default_rng(seed)
        client = None if self.feedback == "value" else self.client()
        local = None if client is None else _fields
        return OptimizerContext(
            self.space, rng, self.budget, self.batch_size, client=client, local=local
        )

    def client(self) -> Client:
        """The client data of the toy's images."""
        everything = np.arange(IMAGES)[None]
        clean = self._embed(torch.zeros(1, *self.space.shape), everything)[0]
        weight = np.zeros((2, GRID**2))
        weight[1, 0] = 1.0 / DISTANCE

        def pixels(rows: Rows) -> Tensor:
            side = self.space.shape[-1]
            fields = 0.5 + self._apart[rows].reshape(-1, 1, GRID, GRID)
            return torch.nn.functional.interpolate(fields, size=(side, side))

        return Client(
            head=Head(weight, np.zeros(2)),
            clean=clean,
            sensitive=self._sensitive.clone(),
            label=self._label.clone(),
            pixels=pixels,
            values=lambda embeddings, rows: _values(embeddings),
            penalty=0.0,
        )

    def query(self, asked: object) -> Answer:
        """The answer to an ask, at the level of :attr:`feedback`."""
        rules = AskRules(
            "under test", self.space.shape, self.feedback, self.batch_size, IMAGES, GRID**2
        )
        ask = taken_ask(checked_ask(asked, rules), "under test")
        rows = self._rows(ask.minibatch, ask.images) if ask.rows is None else ask.rows
        points = ask.points.clone().requires_grad_()
        embeddings = self._embed(points, rows)
        values = _values(embeddings)
        gradients = None
        if ask.want == "gradient":
            wanted = values.sum()
            if ask.cotangents is not None:
                wanted = (embeddings * ask.cotangents).sum() / embeddings.shape[1]
            (gradients,) = torch.autograd.grad(wanted, points)
        if self.feedback == "value":
            return Answer(values.detach())
        return Answer(values.detach(), embeddings.detach(), gradients, rows)

    def value(self, point: Tensor) -> float:
        """The bowl without noise, 1 at no edit and 0 at the best point."""
        return float(((point - self.best) ** 2).mean() / (self.best**2).mean())

    def _embed(self, points: Tensor, rows: Rows) -> Tensor:
        """Embeddings ``(K, b, D)`` of points ``(K, 1, side, side)`` on images ``(K, b)``."""
        fields = _fields(points - self.best)
        return fields[:, None] - self._apart[torch.from_numpy(rows)]

    def _rows(self, minibatch: Rows | None, images: int | None) -> Rows:
        assert minibatch is not None
        count = self.batch_size if images is None else images
        draws = (np.random.default_rng([1, int(number)]) for number in minibatch)
        return np.stack([rng.choice(IMAGES, count, replace=False) for rng in draws])


def _fields(images: Tensor) -> Tensor:
    """The means of 8 x 8 fields of images: the toy's local encoder, and half of its own one."""
    return torch.nn.functional.adaptive_avg_pool2d(images, GRID).flatten(1)


def _values(embeddings: Tensor) -> Tensor:
    return (embeddings.double().mean(1) ** 2).mean(1)
