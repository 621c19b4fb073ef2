"""A small oracle over the tiny encoder, and asks for it."""

from __future__ import annotations

import numpy as np
import torch
from tiny import DIMENSION, SIDE, TinyDataset, TinyEncoder, dne
from torch import Tensor

from zobench.contracts.objective import Objective
from zobench.contracts.optimizer import Ask, Feedback
from zobench.oracle.evaluator import Evaluator
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.oracle import Oracle
from zobench.problem.heads import Head
from zobench.problem.images import load_images
from zobench.problem.spaces import PixelSpace

BATCH = 5
IMAGES = 60
RNG = np.random.default_rng(1)
HEAD = Head(RNG.normal(size=(2, DIMENSION)), RNG.normal(size=2))


def make_oracle(
    budget: int = 1000,
    feedback: Feedback = "gradient",
    encoder: TinyEncoder | None = None,
    backward_cost: int = 2,
    penalty: float = 0.01,
    objective: Objective | None = None,
) -> Oracle:
    images = load_images(TinyDataset(), np.arange(IMAGES))
    ledger = Ledger(backward_cost)
    metered = MeteredEncoder(encoder or TinyEncoder(), ledger)
    seed = np.random.SeedSequence(9)
    evaluator = Evaluator(images, metered, objective or dne(HEAD), penalty, BATCH, seed, "tested")
    return Oracle(evaluator, PixelSpace(SIDE, SIDE), budget, feedback)


def points(count: int, scale: float = 0.1) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return scale * torch.randn(count, 1, SIDE, SIDE, generator=generator)


def ask(count: int, want: Feedback = "value", minibatch: int | None = None) -> Ask:
    numbers = np.arange(count) if minibatch is None else np.full(count, minibatch)
    return Ask(points(count), numbers, want)
