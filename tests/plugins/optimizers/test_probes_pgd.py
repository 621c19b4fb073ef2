"""Probes, then PGD, on a linear encoder that one direction of the points moves."""

from __future__ import annotations

import math

import numpy as np
import torch
from client_data import client_data
from torch import Tensor
from zobench_plugins.optimizers.probes_pgd import ProbesPgd, ProbesPgdParameters

from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.problem.spaces import PixelSpace

SIDE, IMAGES, DIMENSION = 16, 200, 8
SIZES = ProbesPgdParameters(singles=64, check_images=40, images=24, step=0.01)


class Api:
    """Images whose label is in one number of the embedding, and whose attribute is in another."""

    def __init__(self, shift: float) -> None:
        rng = np.random.default_rng(0)
        self.label = rng.integers(0, 2, IMAGES)
        self.sensitive = np.where(rng.random(IMAGES) < 0.8, self.label, 1 - self.label)
        clean = rng.standard_normal((IMAGES, DIMENSION))
        clean[:, 0] += 2.0 * self.label + 2.0 * self.sensitive
        clean[:, 1] += 3.0 * self.sensitive
        self.clean = torch.from_numpy(clean).float()
        self.helps = (
            shift > 0
        )  # an edit takes the attribute away, or either sign puts it before all
        self.shift = abs(shift) * torch.from_numpy(self.sensitive).float()
        self.wave = torch.outer(torch.ones(SIDE), torch.cos(torch.arange(SIDE) * math.pi / SIDE))

    def embed(self, points: Tensor, rows: np.ndarray) -> Tensor:
        strength = (points * self.wave).mean((1, 2, 3))[:, None]
        found = self.clean[rows].clone()
        found[..., 0] -= (strength if self.helps else -strength.abs()) * self.shift[rows]
        return found

    def answer(self, ask: Ask) -> Answer:
        assert ask.rows is not None
        embeddings = self.embed(ask.points, ask.rows)
        sign = torch.sign(torch.arange(SIDE * SIDE).reshape(1, 1, SIDE, SIDE) % 2 - 0.5)
        gradients = 7.0 * sign.expand(len(ask.points), -1, -1, -1)
        wanted = gradients if ask.want == "gradient" else None
        return Answer(torch.zeros(len(ask.points)), embeddings, wanted, ask.rows)

    def optimizer(self) -> ProbesPgd:
        client = client_data(self.clean, self.label, self.sensitive, SIDE)
        rng = np.random.default_rng(1)
        return ProbesPgd(
            OptimizerContext(PixelSpace(SIDE, SIDE), rng, 9_999, 8, client=client), SIZES
        )


def drive(api: Api, optimizer: ProbesPgd, asks: int) -> list[Ask]:
    found = []
    for _ in range(asks):
        found.append(optimizer.ask())
        optimizer.tell(found[-1], api.answer(found[-1]))
    return found


def test_single_probes_and_one_check_come_first_then_signed_steps_that_become_shorter() -> None:
    api = Api(shift=300.0)
    optimizer = api.optimizer()
    *singles, check = drive(api, optimizer, 3)
    assert sum(len(each.points) for each in singles) == SIZES.singles
    assert {each.want for each in singles} == {check.want} == {"embeddings"}
    assert check.rows is not None
    assert check.rows.shape == (2, SIZES.check_images)
    kept = optimizer.recommend()
    assert float(kept.norm()) > 0
    edits = [kept]
    for step in (1, 2, 3):
        (ask,) = drive(api, optimizer, 1)
        assert ask.want == "gradient"
        assert torch.equal(ask.points[0], edits[-1])
        edits.append(optimizer.recommend())
        change = edits[-1] - edits[-2]
        answer = api.answer(ask)
        assert answer.gradients is not None
        assert torch.equal(change.sign(), -answer.gradients[0].sign())
        size = torch.full_like(change, SIZES.step / math.sqrt(step))
        torch.testing.assert_close(change.abs(), size, rtol=1e-4, atol=1e-7)


def test_the_images_of_a_gradient_are_as_many_of_each_cell() -> None:
    api = Api(shift=300.0)
    optimizer = api.optimizer()
    *_, ask = drive(api, optimizer, 4)
    assert ask.rows is not None
    rows = ask.rows[0]
    cells = np.bincount(2 * api.label[rows] + api.sensitive[rows], minlength=4)
    assert cells.tolist() == [SIZES.images // 4] * 4


def test_an_edit_that_does_harm_is_given_up_and_the_steps_begin_at_no_edit() -> None:
    api = Api(shift=-3000.0)
    optimizer = api.optimizer()
    drive(api, optimizer, 3)
    assert not optimizer.recommend().any()
    (ask,) = drive(api, optimizer, 1)
    assert ask.want == "gradient"
