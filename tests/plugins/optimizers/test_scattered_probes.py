"""Scattered probes on an encoder that is linear in the edit, where the best edit is known."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dctn
from torch import Tensor
from zobench_plugins.optimizers.scattered_probes import ScatteredProbes, ScatteredProbesParameters

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, OptimizerContext
from zobench.problem.heads import Head
from zobench.problem.spaces import PixelSpace

SIDE, FREQUENCIES, IMAGES, DIMENSION = 16, 4, 60, 5
SMALL = ScatteredProbesParameters(side=FREQUENCIES, probes=32, noise=1e-3)

generator = torch.Generator().manual_seed(0)
CLEAN = torch.randn(IMAGES, DIMENSION, generator=generator)
JACOBIAN = torch.randn(FREQUENCIES**2, DIMENSION, generator=generator)
WEIGHTS = torch.randn(DIMENSION, generator=generator).double()


def optimizer() -> ScatteredProbes:
    """One whose objective is a weighted sum of the embedding's numbers."""
    labels = torch.zeros(IMAGES, dtype=torch.int64)
    client = Client(
        head=Head(np.zeros((2, DIMENSION)), np.zeros(2)),
        clean=CLEAN,
        sensitive=labels,
        label=labels,
        pixels=lambda rows: torch.zeros(len(rows), 1, SIDE, SIDE),
        values=lambda embeddings, rows: (embeddings.double() @ WEIGHTS).mean(1),
        penalty=0.0,
    )
    rng = np.random.default_rng(0)
    context = OptimizerContext(PixelSpace(SIDE, SIDE), rng, 10_000, 8, client=client)
    return ScatteredProbes(context, SMALL)


def coefficients(points: Tensor) -> Tensor:
    transformed = dctn(points[:, 0].numpy(), axes=(1, 2), norm="ortho")
    lowest = transformed[:, :FREQUENCIES, :FREQUENCIES] * FREQUENCIES / SIDE
    return torch.from_numpy(lowest.reshape(len(points), -1).copy())


def ask_and_tell(found: ScatteredProbes) -> None:
    ask = found.ask()
    assert ask.rows is not None
    embeddings = CLEAN[ask.rows[:, 0]] + coefficients(ask.points) @ JACOBIAN
    found.tell(ask, Answer(torch.zeros(len(ask.points)), embeddings[:, None], None, ask.rows))


def test_the_edit_is_the_longest_one_along_the_slope_of_the_objective() -> None:
    found = optimizer()
    for _ in range(6):
        ask_and_tell(found)
    edit = coefficients(found.recommend()[None])[0].double()
    reach = SMALL.reach * FREQUENCIES
    downhill = -JACOBIAN.double() @ WEIGHTS
    assert torch.allclose(edit.norm(), torch.tensor(reach, dtype=torch.float64), rtol=1e-4)
    assert float(torch.cosine_similarity(edit, downhill, dim=0)) > 0.999


def test_an_edit_depends_on_what_was_bought_alone_and_changes_nothing() -> None:
    watched, other = optimizer(), optimizer()
    assert not watched.recommend().any()
    for _ in range(3):
        ask_and_tell(watched)
        watched.recommend()
        ask_and_tell(other)
    assert torch.equal(watched.recommend(), other.recommend())
    assert torch.equal(watched.ask().points, other.ask().points)
