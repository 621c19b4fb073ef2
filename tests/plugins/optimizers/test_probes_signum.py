"""Probes, then Signum, on a linear encoder in which an edit can take the attribute away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from client_data import client_data
from torch import Tensor
from zobench_plugins.optimizers.paid_checks import Cells
from zobench_plugins.optimizers.probes_signum import ProbesSignum, ProbesSignumParameters
from zobench_plugins.optimizers.refitted_heads import residuals

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.errors import ConfigError
from zobench.problem.spaces import PixelSpace

SIDE, IMAGES, DIMENSION = 16, 240, 8
SIZES = ProbesSignumParameters(
    singles=24,
    products=6,
    first_length=0.03,
    long_reach=1.2,
    long_length=0.06,
    check_images=40,
    images=8,
    memory=64,
)
WAVE = torch.outer(torch.ones(SIDE), torch.cos(torch.arange(SIDE) * math.pi / SIDE))


class Api:
    """Embeddings whose first number tells the label and, unless the edit has the wave, the attribute.

    Attributes:
        clean: The embeddings without an edit; the wave moves the first number by ``push`` of each image.
    """

    def __init__(self, push: float, bent: bool = False, leaning: float = 3.0) -> None:
        rng = np.random.default_rng(0)
        self.label = rng.integers(0, 2, IMAGES)
        self.sensitive = np.where(rng.random(IMAGES) < 0.8, self.label, 1 - self.label)
        clean = rng.standard_normal((IMAGES, DIMENSION))
        clean[:, 0] += 2.0 * self.label + leaning * self.sensitive
        self.clean = torch.from_numpy(clean).float()
        self.push, self.bent = push * torch.from_numpy(self.sensitive).float(), bent

    def embed(self, points: Tensor, rows: np.ndarray) -> Tensor:
        strength = (points * WAVE).mean((1, 2, 3))[:, None]
        moved = strength - 400 * strength**2 if self.bent else strength  # bent: harm by either sign
        first = self.clean[rows][..., :1] - (moved * self.push[rows])[..., None]
        return torch.cat([first, self.clean[rows][..., 1:]], dim=-1)

    def answer(self, ask: Ask) -> Answer:
        assert ask.rows is not None
        points = ask.points.clone().requires_grad_()
        embeddings = self.embed(points, ask.rows)
        gradients = None
        if ask.want == "gradient":
            assert ask.cotangents is not None
            products = (embeddings * ask.cotangents).sum(-1).mean(-1)
            (gradients,) = torch.autograd.grad(products.sum(), points)
        values = torch.zeros(len(points), dtype=torch.float64)
        return Answer(values, embeddings.detach(), gradients, ask.rows)

    def client(self) -> Client:
        return client_data(self.clean, self.label, self.sensitive, SIDE)

    def optimizer(self, sizes: ProbesSignumParameters = SIZES) -> ProbesSignum:
        space, rng = PixelSpace(SIDE, SIDE), np.random.default_rng(1)
        context = OptimizerContext(space, rng, 9_999, 8, client=self.client())
        return ProbesSignum(context, sizes)

    def gap(self, edit: Tensor) -> float:
        """How far apart the attribute's groups are, at equal labels."""
        embedded = self.embed(edit[None], np.arange(IMAGES)[None])[0, :, 0].numpy()
        means = [
            embedded[(self.label == y) & (self.sensitive == a)].mean()
            for y in (0, 1)
            for a in (0, 1)
        ]
        return float(abs(means[1] - means[0]) + abs(means[3] - means[2])) / 2


def driven(api: Api, optimizer: ProbesSignum) -> Iterator[tuple[Ask, Answer]]:
    while True:
        ask = optimizer.ask()
        answer = api.answer(ask)
        optimizer.tell(ask, answer)
        yield ask, answer


def cells(api: Api, rows: np.ndarray) -> list[int]:
    return np.bincount(2 * api.label[rows] + api.sensitive[rows], minlength=4).tolist()


def length(edit: Tensor) -> float:
    return float(edit.double().square().mean().sqrt())


def test_single_probes_one_product_and_one_check_come_before_signed_steps() -> None:
    api = Api(push=300.0)
    optimizer = api.optimizer()
    search = driven(api, optimizer)
    singles, told = next(search)
    assert singles.want == "embeddings"
    assert singles.rows is not None
    assert singles.rows.shape == (SIZES.singles, 1)
    rms = singles.points.double().square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, SIZES.radius), rtol=1e-5, atol=0)

    product, _ = next(search)
    assert (product.want, product.points.any().item()) == ("gradient", False)
    assert product.rows is not None
    assert told.embeddings is not None
    changes = (told.embeddings[:, 0] - api.clean[singles.rows[:, 0]]).norm(dim=1)  # along one axis
    most = singles.rows[changes.argsort(descending=True)[: SIZES.products].numpy(), 0]
    assert sorted(product.rows[0]) == sorted(most)
    check, _ = next(search)
    assert check.want == "embeddings"
    assert check.rows is not None
    assert torch.equal(check.points[0], -check.points[1])
    # only the wave moves embeddings, and the encoder is linear, so the shift is as long as asked for
    similar = torch.nn.functional.cosine_similarity(
        check.points[0].flatten(), WAVE.flatten(), dim=0
    )
    assert abs(float(similar)) == pytest.approx(1.0, abs=1e-5)
    moved = api.embed(check.points[:1], product.rows)[0] - api.clean[product.rows[0]]
    spread = float(api.clean.var(0).double().sum().sqrt())
    assert float(moved.mean(0).norm()) == pytest.approx(SIZES.reach * spread, rel=1e-3)

    edit = optimizer.edit
    average = torch.zeros_like(edit)
    for number in range(1, 5):
        step, answer = next(search)
        assert torch.equal(step.points[0], edit)
        assert step.rows is not None
        assert step.cotangents is not None
        assert answer.gradients is not None
        assert cells(api, step.rows[0]) == [SIZES.images // 4] * 4
        if number == 1:  # by a head on what the check has bought with the edit that was kept
            bought = api.embed(edit[None], check.rows[:1])[0].double()
            head, _ = residuals(bought, *Cells.of(api.client()).targets(check.rows[0]))
            towards = torch.from_numpy(1.0 - 2.0 * api.sensitive[step.rows[0]])
            wanted = (towards[:, None] * head).float()
            torch.testing.assert_close(step.cotangents[0], wanted, rtol=1e-5, atol=1e-6)
        average = SIZES.momentum * average + answer.gradients[0]
        size = SIZES.step / math.sqrt(number)
        edit = edit + size * average.sign()
        ahead = edit + SIZES.ahead * size * average.sign()
        torch.testing.assert_close(optimizer.recommend(), ahead, rtol=0, atol=1e-7)


def test_the_sign_of_the_first_edit_is_that_which_brings_the_groups_together() -> None:
    signs = []
    for leaning in (3.0, -3.0):
        api = Api(push=300.0, leaning=leaning)
        optimizer = api.optimizer()
        search = driven(api, optimizer)
        _, _, check = (next(search)[0] for _ in range(3))
        one, other = (api.gap(point) for point in check.points)
        assert torch.equal(optimizer.edit, check.points[0 if one < other else 1])
        signs.append(one < other)
    assert signs == [True, False] or signs == [False, True]  # turned round in one of them


@pytest.mark.parametrize("push", [300.0, -300.0])
def test_the_groups_come_together_by_the_first_edit_and_further_by_the_steps(push: float) -> None:
    api = Api(push)
    optimizer = api.optimizer()
    search = driven(api, optimizer)
    for _ in range(3):
        next(search)
    first = api.gap(optimizer.recommend())
    assert first < 0.9 * api.gap(torch.zeros(1, SIDE, SIDE))
    for _ in range(25):
        next(search)
    assert api.gap(optimizer.recommend()) < 0.75 * first


def test_a_first_edit_that_does_harm_is_given_up_and_steps_begin_from_none() -> None:
    api = Api(push=300.0, bent=True)
    optimizer = api.optimizer()
    search = driven(api, optimizer)
    _, _, check = (next(search)[0] for _ in range(3))
    assert check.points.any()
    assert not optimizer.recommend().any()
    step, _ = next(search)
    assert (step.want, step.points.any().item()) == ("gradient", False)


def test_an_encoder_that_no_edit_moves_is_sent_no_check() -> None:
    api = Api(push=0.0)
    optimizer = api.optimizer()
    search = driven(api, optimizer)
    _, _, step = (next(search)[0] for _ in range(3))
    assert step.want == "gradient"
    assert not step.points.any()


def test_the_first_edit_is_no_longer_than_it_may_be() -> None:
    api = Api(push=3.0)  # the shift that is asked for would take a long edit
    optimizer = api.optimizer()
    search = driven(api, optimizer)
    _, _, check = (next(search)[0] for _ in range(3))
    assert length(check.points[0]) == pytest.approx(SIZES.first_length, rel=1e-5)
    assert length(optimizer.recommend()) == pytest.approx(SIZES.long_length, rel=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"singles": 5}, "singles is 5, but must be at least products, 6"),
        ({"long_reach": 0.5}, "long_reach is 0.5, but must be at least reach, 1"),
        ({"long_length": 0.02}, "long_length is 0.02, but must be at least first_length, 0.03"),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SIZES, **changed)


def test_before_the_first_step_a_longer_edit_is_recommended_than_the_search_goes_on_from() -> None:
    api = Api(push=300.0)
    optimizer = api.optimizer()
    search = driven(api, optimizer)
    next(search)
    assert not optimizer.recommend().any()
    for _ in range(2):  # before the check and after it
        ask, _ = next(search)
        assert length(optimizer.recommend()) == pytest.approx(
            SIZES.long_reach / SIZES.reach * length(optimizer.edit), rel=1e-5
        )
    assert torch.equal(ask.points[0], -ask.points[1])  # the check was of the short one
    assert length(ask.points[0]) == pytest.approx(length(optimizer.edit), rel=1e-5)


def test_the_head_is_fitted_on_the_last_embeddings_only() -> None:
    api = Api(push=300.0)
    optimizer = api.optimizer()
    bought: list[Tensor] = []
    for _, (ask, answer) in zip(range(20), driven(api, optimizer), strict=False):
        assert answer.embeddings is not None
        if ask.want == "gradient":
            bought.append(answer.embeddings[0])
    assert len(optimizer.bought) == len(optimizer.rows) == SIZES.memory
    assert torch.equal(optimizer.bought, torch.cat(bought)[-SIZES.memory :])
