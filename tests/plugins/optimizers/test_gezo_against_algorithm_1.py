"""GeZO line by line: a quadratic in three dimensions, with every number worked out by hand.

The objective is f(e) = |e - (1, 0, 0)|^2. C = 2 samples per iteration, R = 3 iterations per epoch,
s = 0.5, mu = 0.5, k = 0.5. Each perturbation is a unit vector times s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from zobench_plugins.optimizers.gezo import Gezo, GezoParameters

from zobench.contracts.optimizer import Answer, OptimizerContext


@dataclass(frozen=True)
class Line:
    shape: tuple[int, ...] = (3,)
    name: str = "line"


@dataclass
class FixedDraws:
    """Replaces the random generator by the perturbations of the example, in order."""

    draws: list[list[list[float]]]
    bit_generator: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(state={}))

    def standard_normal(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.array(self.draws.pop(0), dtype=dtype)


def objective(points: torch.Tensor) -> torch.Tensor:
    return ((points.double() - torch.tensor([1.0, 0.0, 0.0])) ** 2).sum(1)


@pytest.fixture
def gezo() -> Gezo:
    x, y, z = [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]
    draws = FixedDraws([[x, y], [y, z], [x, z], [y, x]])
    context = OptimizerContext(Line(), draws, budget=10**6, batch_size=1)
    return Gezo(context, GezoParameters(iterations=3, samples=2, step=0.5, momentum=0.5, decay=0.5))


def step(gezo: Gezo) -> tuple[list[list[float]], list[float]]:
    ask = gezo.ask()
    values = objective(ask.points)
    gezo.tell(ask, Answer(values))
    return ask.points.tolist(), values.tolist()


def test_every_line_of_an_epoch_and_the_start_of_the_next(gezo: Gezo) -> None:
    # r=1: from the origin, delta = 0.5x then 0.5y, minus before plus (lines 13 to 16).
    points, values = step(gezo)
    assert points == [[-0.5, 0, 0], [0.5, 0, 0], [0, -0.5, 0], [0, 0.5, 0]]
    assert values == [2.25, 0.25, 1.25, 1.25]
    # The best is +0.5x with loss 0.25 < infinity; v = 0.5*0 + 0.5x; e = 0 + v (lines 4 to 6).
    assert gezo.recommend().tolist() == [0.5, 0, 0]
    assert gezo.state_dict()["velocity"].tolist() == [0.5, 0, 0]
    assert gezo.state_dict()["best"] == "0.25"

    # r=2: +-0.5y and +-0.5z all give 0.25 + 0.25 = 0.5, no better than 0.25:
    # nothing moves and s becomes 0.25 (line 9).
    _, values = step(gezo)
    assert values == [0.5] * 4
    assert gezo.recommend().tolist() == [0.5, 0, 0]
    assert gezo.state_dict()["velocity"].tolist() == [0.5, 0, 0]
    assert gezo.state_dict()["step"] == 0.25

    # r=3: delta = 0.25x: e +- delta = (0.25, ..) and (0.75, ..): 0.5625 and 0.0625 < 0.25.
    # v = 0.5*(0.5,0,0) + (0.25,0,0) = (0.5,0,0); e = (1,0,0). The epoch ends with this update.
    points, values = step(gezo)
    assert points[:2] == [[0.25, 0, 0], [0.75, 0, 0]]
    assert values[:2] == [0.5625, 0.0625]
    assert gezo.recommend().tolist() == [1, 0, 0]

    # Next epoch: best loss, velocity and step start anew (line 2), the edit stays.
    state = gezo.state_dict()
    assert (state["best"], state["step"], state["iteration"]) == (repr(math.inf), 0.5, 0)
    assert state["velocity"].tolist() == [0, 0, 0]

    # So its first iteration accepts the best point, although the current edit is better:
    # (1, -+0.5, 0) cost 0.25. Of two equal points the first one wins, because < is strict.
    _, values = step(gezo)
    assert values[:2] == [0.25, 0.25]
    assert gezo.recommend().tolist() == [1, -0.5, 0]


def test_both_signs_share_a_minibatch_and_samples_do_not(gezo: Gezo) -> None:
    first = gezo.ask()
    assert first.minibatch.tolist() == [0, 0, 1, 1]
    gezo.tell(first, Answer(objective(first.points)))
    assert gezo.ask().minibatch.tolist() == [2, 2, 3, 3]


def test_defaults_are_those_of_algorithm_1() -> None:
    p = GezoParameters()
    assert (p.step, p.momentum, p.decay, p.iterations) == (0.01, 0.9, 0.95, 10)
