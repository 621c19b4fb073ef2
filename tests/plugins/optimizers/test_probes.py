"""Probes on encoders whose Jacobians are known: the direction, its length, the sign, the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from zobench_plugins.optimizers.probes import Probes, ProbesParameters

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.problem.heads import Head, fit_sensitive_head
from zobench.problem.spaces import DctSpace, PixelSpace

SIDE, IMAGES, DIMENSION = 16, 200, 12
SMALL = ProbesParameters(
    side=4, coarse=4, batch=16, first=64, check_after=48, check=40, pairs=32, window=128
)
WAVES = DctSpace(SIDE, SIDE, SMALL.side)

Embed = Callable[[Tensor, np.ndarray], Tensor]
"""Embeddings of coefficients ``(n, P)`` on the images of rows ``(n,)``."""


class Problem:
    """Client data of random images: the label lies in the first number, the attribute in the second."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.label = rng.integers(0, 2, IMAGES)
        self.sensitive = np.where(rng.random(IMAGES) < 0.8, self.label, 1 - self.label)
        clean = rng.standard_normal((IMAGES, DIMENSION))
        clean[:, 0] += 2.0 * self.label
        clean[:, 1] += 3.0 * self.sensitive
        self.clean = torch.from_numpy(clean).float()

    def client(self) -> Client:
        head = fit_sensitive_head(
            self.clean.numpy(), self.sensitive, self.label, protocol="converged", rng=None
        )
        assert isinstance(head, Head)
        return Client(
            head=head,
            clean=self.clean,
            sensitive=torch.from_numpy(self.sensitive),
            label=torch.from_numpy(self.label),
            pixels=lambda rows: torch.zeros(len(rows), 1, SIDE, SIDE),
            values=lambda embeddings, rows: embeddings.double().mean((1, 2)),
            penalty=0.0,
        )

    def optimizer(self, parameters: ProbesParameters = SMALL, seed: int = 0) -> Probes:
        rng = np.random.default_rng(seed)
        context = OptimizerContext(PixelSpace(SIDE, SIDE), rng, 100_000, 8, client=self.client())
        return Probes(context, parameters)


def coefficients(points: Tensor) -> Tensor:
    """Coefficients ``(K, P)`` of points in the span of the waves."""
    down, across = WAVES._waves
    found: Tensor = down @ points @ across.T * WAVES.side / SIDE
    return found.reshape(len(points), -1)


def answered(ask: Ask, embed: Embed) -> Answer:
    assert ask.rows is not None
    images = ask.rows.shape[1]
    places = coefficients(ask.points).repeat_interleave(images, 0)
    embeddings = embed(places, ask.rows.reshape(-1)).reshape(len(ask.points), images, -1)
    return Answer(torch.zeros(len(ask.points)), embeddings, None, ask.rows)


def drive(optimizer: Probes, embed: Embed, asks: int) -> list[Ask]:
    found = []
    for _ in range(asks):
        found.append(optimizer.ask())
        optimizer.tell(found[-1], answered(found[-1], embed))
    return found


def test_the_first_edit_is_where_the_mean_embedding_moves_fastest() -> None:
    """The first singular vector of the Jacobian, as long as moves the mean by the given share."""
    problem, rng = Problem(), np.random.default_rng(1)
    jacobian = 0.3 * rng.standard_normal((SMALL.side**2, DIMENSION))
    jacobian += 4.0 * np.outer(rng.standard_normal(SMALL.side**2), rng.standard_normal(DIMENSION))
    slopes = torch.from_numpy(jacobian).float()
    exact = replace(SMALL, noise=1e-6, longest=10.0)
    optimizer = problem.optimizer(exact)
    drive(optimizer, lambda places, rows: problem.clean[rows] + places @ slopes, 3)
    edit = coefficients(optimizer.recommend()[None])[0].double().numpy()
    first = np.linalg.svd(jacobian)[0][:, 0]
    assert abs(edit @ first) / np.linalg.norm(edit) > 0.99
    spread = np.sqrt(problem.clean.numpy().var(0, ddof=1).sum())
    shift = np.linalg.norm(edit @ jacobian) / spread
    np.testing.assert_allclose(shift, exact.reach, rtol=0.25)  # few probes understate the speed


def test_the_first_edit_is_no_longer_than_allowed() -> None:
    problem = Problem()
    optimizer = problem.optimizer()
    drive(optimizer, lambda places, rows: problem.clean[rows] + 1e-3 * places[:, :DIMENSION], 2)
    rms = float(optimizer.recommend().double().square().mean().sqrt())
    np.testing.assert_allclose(rms, SMALL.longest, rtol=1e-4)


def test_the_check_keeps_the_sign_under_which_the_attribute_is_hidden() -> None:
    """One sign of the first coefficient hides the attribute, the other one hides the disease."""
    problem = Problem()
    kinds: list[float] = []
    for direction in (1.0, -1.0):

        def embed(places: Tensor, rows: np.ndarray, direction: float = direction) -> Tensor:
            found = problem.clean[rows].clone()
            along = direction * places[:, 0] / SMALL.side / SMALL.longest  # 1 at the longest edit
            found[:, 5] += 3.0 * along
            found[:, 1] = torch.where(along > 0.5, 0.0, found[:, 1])
            found[:, 0] = torch.where(along < -0.5, 0.0, found[:, 0])
            return found

        optimizer = problem.optimizer(replace(SMALL, corner=1.0))
        asks = drive(optimizer, embed, 4)
        assert asks[3].rows is not None
        assert asks[3].rows.shape == (2, SMALL.check)
        assert (asks[3].rows[0] == asks[3].rows[1]).all()
        kinds.append(direction * float(coefficients(optimizer.recommend()[None])[0, 0]))
    assert min(kinds) > 0


def test_pairs_lower_what_a_refitted_head_reads() -> None:
    """An edit that weakens one number for each image apart: no shift of all images hides it."""
    problem = Problem()

    def embed(places: Tensor, rows: np.ndarray) -> Tensor:
        found = problem.clean[rows].clone()
        found[:, 1] = found[:, 1] * torch.exp(-20.0 * places[:, 3])
        found[:, 6] += 10.0 * places[:, 0]
        return found

    optimizer = problem.optimizer(replace(SMALL, stride=0.002))
    drive(optimizer, embed, 5)
    assert optimizer.stage == "pairs"
    before = optimizer.edit.clone()
    asks = drive(optimizer, embed, 12)
    moved = (optimizer.edit - before) / (optimizer.edit - before).norm()
    assert float(moved[3]) > 0.8
    points, rows = asks[-1].points, asks[-1].rows
    assert rows is not None
    half = len(points) // 2
    assert (rows[:half] == rows[half:]).all()
    middle = (points[:half] + points[half:]) / 2.0
    assert torch.allclose(middle, middle[:1].expand_as(middle), atol=1e-6)
