"""Probes on encoders whose Jacobians are known: the direction, its length, the sign, the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from client_data import client_data
from scipy.fft import dctn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from torch import Tensor
from zobench_plugins.optimizers.probes import Probes, ProbesParameters

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.contracts.parameters import resolve
from zobench.errors import ConfigError
from zobench.problem.spaces import PixelSpace

SIDE, IMAGES, DIMENSION = 16, 200, 12
SMALL = ProbesParameters(
    side=6, coarse=4, batch=16, singles=64, check_after=48, check_images=40, pairs=32, window=128
)

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
        return client_data(self.clean, self.label, self.sensitive, SIDE)

    def optimizer(self, parameters: ProbesParameters = SMALL, seed: int = 0) -> Probes:
        rng = np.random.default_rng(seed)
        context = OptimizerContext(PixelSpace(SIDE, SIDE), rng, 100_000, 8, client=self.client())
        return Probes(context, parameters)


def coefficients(points: Tensor) -> Tensor:
    """Coefficients ``(K, P)`` of points in the span of the waves."""
    transformed = dctn(points[:, 0].numpy(), axes=(1, 2), norm="ortho")
    lowest = transformed[:, : SMALL.side, : SMALL.side] * SMALL.side / SIDE
    return torch.from_numpy(lowest.reshape(len(points), -1).copy())


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
    coarse = np.zeros((SMALL.side, SMALL.side, 1))
    coarse[: SMALL.coarse, : SMALL.coarse] = 1.0
    jacobian = 0.3 * rng.standard_normal((SMALL.side**2, DIMENSION)) * coarse.reshape(-1, 1)
    strong = rng.standard_normal(SMALL.side**2) * coarse.ravel()
    jacobian += 4.0 * np.outer(strong, rng.standard_normal(DIMENSION))
    slopes = torch.from_numpy(jacobian).float()
    exact = replace(SMALL, noise=1e-6, first_length=10.0, length=10.0)
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
    np.testing.assert_allclose(rms, SMALL.first_length, rtol=1e-4)


def by_cell(problem: Problem, rows: np.ndarray) -> list[int]:
    return np.bincount(2 * problem.label[rows] + problem.sensitive[rows], minlength=4).tolist()


@pytest.mark.parametrize("other", ["the disease", "the attribute and the disease"])
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_the_check_keeps_the_sign_that_hides_the_attribute_only(
    direction: float, other: str
) -> None:
    """The other sign destroys what the disease head reads; a head that reads nothing has no gap."""
    problem = Problem()

    def embed(places: Tensor, rows: np.ndarray) -> Tensor:
        embeddings = problem.clean[rows].clone()
        length = direction * places[:, 0] / SMALL.side / SMALL.first_length  # 1: the longest edit
        embeddings[:, 5] += 3.0 * length
        hides_attribute = length > 0.5
        if other != "the disease":
            hides_attribute |= length < -0.5
        embeddings[:, 1] = torch.where(hides_attribute, 0.0, embeddings[:, 1])
        embeddings[:, 0] = torch.where(length < -0.5, 0.0, embeddings[:, 0])
        return embeddings

    for seed in range(4):  # before the check the sign is random
        optimizer = problem.optimizer(replace(SMALL, corner=1.0), seed)
        checks = drive(optimizer, embed, 4)[3].rows
        assert checks is not None
        assert (checks[0] == checks[1]).all()
        assert by_cell(problem, checks[0]) == [SMALL.check_images // 4] * 4
        assert direction * float(coefficients(optimizer.recommend()[None])[0, 0]) > 0


def test_no_edit_is_recommended_where_both_signs_do_harm() -> None:
    problem = Problem()

    def embed(places: Tensor, rows: np.ndarray) -> Tensor:
        embeddings = problem.clean[rows].clone()
        length = places[:, 0] / SMALL.side / SMALL.first_length
        embeddings[:, 5] += 3.0 * length
        embeddings[:, 0] = torch.where(length.abs() > 0.5, 0.0, embeddings[:, 0])  # the disease
        return embeddings

    optimizer = problem.optimizer(replace(SMALL, corner=1.0))
    drive(optimizer, embed, 4)
    assert not bool(optimizer.recommend().any())
    pairs = coefficients(optimizer.ask().points)
    plus, minus = pairs.chunk(2)
    torch.testing.assert_close(plus, -minus)  # around no edit


def weakening(problem: Problem) -> Embed:
    """Coefficient 3 weakens the number that holds the attribute, in every image by itself."""

    def embed(places: Tensor, rows: np.ndarray) -> Tensor:
        embeddings = problem.clean[rows].clone()
        embeddings[:, 1] = embeddings[:, 1] * torch.exp(-20.0 * places[:, 3])
        embeddings[:, 6] += 10.0 * places[:, 0]
        return embeddings

    return embed


def test_pairs_lower_what_a_refitted_head_reads() -> None:
    """No shift of all images lowers it. Scikit-learn's head, on other images than the pairs'."""
    problem = Problem()
    embed = weakening(problem)
    optimizer = problem.optimizer(replace(SMALL, stride=0.01))

    def accuracy() -> float:
        place = coefficients(optimizer.recommend()[None]).float().expand(IMAGES, -1)
        embeddings = embed(place, np.arange(IMAGES)).numpy()
        head = LogisticRegression(class_weight="balanced")
        return float(cross_val_score(head, embeddings, problem.sensitive, cv=5).mean())

    drive(optimizer, embed, 5)
    assert optimizer.stage == "pairs"
    before, first = accuracy(), optimizer.edit.clone()
    edits = [first]
    for _ in range(12):
        ask = drive(optimizer, embed, 1)[0]
        edits.append(optimizer.edit.clone())
        assert ask.rows is not None
        half = SMALL.pairs
        assert (ask.rows[:half] == ask.rows[half:]).all()
        assert by_cell(problem, ask.rows[:half, 0]) == [half // 4] * 4
        middle = (ask.points[:half] + ask.points[half:]) / 2.0
        assert torch.allclose(middle, middle[:1].expand_as(middle), atol=1e-6)
        rms = (ask.points[0] - ask.points[half]).square().mean().sqrt() / 2.0
        assert float(rms) == pytest.approx(SMALL.pair_radius, rel=1e-4)
    assert float((edits[-1] - first)[3] / (edits[-1] - first).norm()) > 0.8
    assert accuracy() < before - 0.05
    assert len(optimizer.rows) == SMALL.window
    steps = [float((after - now).norm()) for now, after in pairwise(edits)]
    lengths = 0.01 * SMALL.side / np.sqrt(np.arange(1, 13))
    free = [float(each.norm()) < 0.999 * SMALL.length * SMALL.side for each in edits[1:]]
    np.testing.assert_allclose(np.array(steps)[free], lengths[free], rtol=1e-6)
    assert max(float(each.norm()) for each in edits) <= SMALL.length * SMALL.side * (1 + 1e-9)


@pytest.mark.parametrize("before", [0, 2, 3, 4, 5, 7])
def test_it_goes_on_from_any_stage(before: int) -> None:
    """Within the single probes, right before and after the check, and among the pairs."""
    problem = Problem()
    embed, straight = weakening(problem), problem.optimizer()
    drive(straight, embed, before)
    restored = problem.optimizer(seed=99)
    restored.load_state_dict(straight.state_dict())
    for one, two in zip(drive(straight, embed, 6), drive(restored, embed, 6), strict=True):
        assert torch.equal(one.points, two.points)
        assert one.rows is not None
        assert two.rows is not None
        assert (one.rows == two.rows).all()
    assert torch.equal(straight.recommend(), restored.recommend())


@pytest.mark.parametrize(
    ("budget", "checked"), [(90, False), (100, True), (150, True), (300, True), (1000, True)]
)
def test_a_small_budget_is_spent_with_a_check_if_it_can_pay_one(budget: int, checked: bool) -> None:
    problem = Problem()
    context = OptimizerContext(
        PixelSpace(SIDE, SIDE), np.random.default_rng(0), budget, 8, client=problem.client()
    )
    optimizer, spent = Probes(context, SMALL), 0
    while spent + (price := (ask := optimizer.ask()).price(8, 2)) <= budget:
        spent += price
        optimizer.tell(ask, answered(ask, weakening(problem)))
    assert budget - spent < 16
    assert bool(optimizer.checked) == checked


def test_more_probes_an_ask_than_images_change_nothing_but_the_ask() -> None:
    problem = Problem()

    def removing(places: Tensor, rows: np.ndarray) -> Tensor:
        embeddings = problem.clean[rows].clone()
        attribute = torch.from_numpy(problem.sensitive[rows])
        embeddings[:, 1] -= 25.0 * places[:, 0] * attribute  # so that the check keeps the edit
        return embeddings

    optimizer = problem.optimizer(replace(SMALL, batch=5000, singles=400, check_after=200))
    asked = [len(each.points) for each in drive(optimizer, removing, 3)]
    assert asked == [IMAGES, 2, IMAGES]
    assert optimizer.stage == "pairs"


def test_a_first_edit_longer_than_any_is_refused_before_an_image_is_sent() -> None:
    with pytest.raises(ConfigError, match=r"first_length is 0\.05, but must be at most .*0\.03"):
        resolve(ProbesParameters, {"first_length": "0.05"}, "optimizer")
