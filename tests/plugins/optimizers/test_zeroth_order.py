"""Zeroth-order methods against formulas, torch and nevergrad, on simple exact functions."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import nevergrad as ng
import numpy as np
import pytest
import torch
from torch import Tensor
from zobench_plugins.optimizers.nevergrad_strategies import foreseen_memory
from zobench_plugins.optimizers.openai_es import centred_ranks
from zobench_plugins.optimizers.two_point import antithetic, bernoulli, gaussian, mean_along, slopes

from zobench.contracts.optimizer import Answer, Optimizer, OptimizerContext
from zobench.errors import ConfigError
from zobench.problem.spaces import LowresSpace, PixelSpace, Space
from zobench.registry.discovery import load_registry

SIDE = 6
TARGET = torch.linspace(-0.2, 0.3, SIDE * SIDE).view(1, SIDE, SIDE)
Function = Callable[[Tensor], Tensor]


def bowl(points: Tensor) -> Tensor:
    """Half the squared distance to a target, ``(K,)``."""
    return 0.5 * ((points - TARGET) ** 2).flatten(1).sum(1).double()


def make(name: str, space: Space | None = None, budget: int = 4000, **settings: Any) -> Optimizer:
    offer, argument = load_registry().find("optimizers", name)
    space = space or PixelSpace(SIDE, SIDE)
    context = OptimizerContext(space, np.random.default_rng(0), budget, 1, argument)
    optimizer: Optimizer = offer.plugin.make(context, settings, "optimizer")
    return optimizer


def play(optimizer: Optimizer, function: Function, evaluations: int) -> Tensor:
    """Runs an optimizer on a function without noise and returns its recommendation."""
    spent = 0
    while spent < evaluations:
        ask = optimizer.ask()
        spent += len(ask.points)
        gradients = None
        if ask.want == "gradient":
            variable = ask.points.clone().requires_grad_()
            (gradients,) = torch.autograd.grad(function(variable).sum(), variable)
        optimizer.tell(ask, Answer(function(ask.points), None, gradients))
    return optimizer.recommend()


FLOORS = {
    "adam": 0.05,
    "pgd": 0.75,
    "zo-sgd": 0.6,
    "zo-signsgd": 0.3,
    "zo-adamm": 0.3,
    "spsa": 0.5,
    "spsa-gc": 0.8,
    "mezo": 0.8,
    "openai-es": 0.3,
    "sep-cma": 0.3,
    "patch-search": 0.75,
    "random": 0.6,
    "nevergrad:CMA": 0.3,
    "nevergrad:OnePlusOne": 0.5,
}
"""Largest share of the start value that may remain after 2,000 evaluations with defaults."""


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_descends_a_bowl(name: str) -> None:
    found = play(make(name), bowl, 2000)
    height = float(bowl(torch.zeros(1, 1, SIDE, SIDE)))
    assert float(bowl(found[None])) < FLOORS[name] * height


@pytest.mark.parametrize("draw", [gaussian, bernoulli])
def test_the_mean_of_many_two_point_estimates_is_the_gradient(
    draw: Callable[..., Tensor],
) -> None:
    at = torch.full((1, SIDE, SIDE), 0.1)
    directions = draw(np.random.default_rng(0), 40_000, at.shape)
    values = bowl(antithetic(at, directions, 0.3))
    estimate = mean_along(slopes(values, 0.3), directions)
    expected = at - TARGET
    assert float((estimate - expected).norm() / expected.norm()) < 0.05


def test_both_points_of_a_pair_see_one_minibatch_and_pairs_see_their_own() -> None:
    for name in ("zo-sgd", "zo-adamm", "zo-signsgd", "spsa-gc", "mezo"):
        optimizer = make(name)
        seen: list[int] = []
        for _ in range(3):
            ask = optimizer.ask()
            assert np.array_equal(ask.minibatch[0::2], ask.minibatch[1::2])
            seen += ask.minibatch[0::2].tolist()
            optimizer.tell(ask, Answer(bowl(ask.points)))
        assert len(set(seen)) == len(seen)


def test_spsa_follows_spalls_gains() -> None:
    """On a linear function each estimate is exactly the slope along the direction."""
    weights = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))

    def linear(points: Tensor) -> Tensor:
        return (points * weights).flatten(1).sum(1).double()

    settings = {"radius": 0.02, "trials": 8, "first_step": 0.01, "pairs": 1}
    optimizer = make("spsa", budget=2000, **settings)
    ask = optimizer.ask()
    directions = (ask.points[0::2] - ask.points[1::2]) / 0.04
    assert set(directions.round().unique().tolist()) == {-1.0, 1.0}
    usual = (directions * weights).flatten(1).sum(1).abs().mean()
    optimizer.tell(ask, Answer(linear(ask.points)))
    stability, here = 0.1 * 1000, torch.zeros(1, SIDE, SIDE)
    a = 0.01 * (stability + 1) ** 0.602 / usual
    for k in range(1, 6):
        ask = optimizer.ask()
        radius = 0.02 / k**0.101
        direction = (ask.points[0] - ask.points[1]) / (2 * radius)
        torch.testing.assert_close(ask.points[0], here + radius * direction)
        slope = (direction * weights).sum()
        here = here - a / (stability + k) ** 0.602 * slope * direction
        optimizer.tell(ask, Answer(linear(ask.points)))
        torch.testing.assert_close(optimizer.recommend(), here, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("settings", "least"), [({}, 14), ({"radius": 0.01, "pairs": 3}, 14)])
def test_spsa_refuses_a_budget_that_its_gains_use_up(settings: dict[str, Any], least: int) -> None:
    assert play(make("spsa", budget=least, **settings), bowl, least).any()
    with pytest.raises(ConfigError, match=f"a step, {least} in all, but has {least - 1} "):
        make("spsa", budget=least - 1, **settings)


def test_spsa_gc_estimates_where_the_momentum_leads() -> None:
    optimizer = make("spsa-gc", lr=0.1, momentum=0.5, stability=0.0, pairs=1)
    positions, centers = [optimizer.recommend()], []
    for _ in range(4):
        ask = optimizer.ask()
        centers.append(ask.points.mean(0))
        optimizer.tell(ask, Answer(bowl(ask.points)))
        positions.append(optimizer.recommend())
    for k in range(1, 4):
        ahead = positions[k] + 0.5 * (positions[k] - positions[k - 1])
        torch.testing.assert_close(centers[k], ahead, rtol=1e-4, atol=1e-6)


def test_spsa_gc_divides_by_its_perturbations() -> None:
    """On a linear function the mean of many estimates is its slope (Spall 1992, Eq. 2.2)."""
    weights = torch.arange(1.0, 1.0 + SIDE * SIDE).view(1, SIDE, SIDE)
    optimizer = make("spsa-gc", lr=1.0, momentum=0.0, stability=0.0, pairs=1000, radius=1.0)
    found = []
    for k in range(1, 41):
        before = optimizer.recommend()
        ask = optimizer.ask()
        optimizer.tell(ask, Answer((ask.points * weights).flatten(1).sum(1).double()))
        found.append((before - optimizer.recommend()) * k**0.6)
    estimate = torch.stack(found).mean(0)
    assert float((estimate - weights).norm() / weights.norm()) < 0.1


def test_mezo_is_zo_sgd_with_one_direction() -> None:
    """Each step equals the step of ZO-SGD, computed from the points of the ask."""
    optimizer = make("mezo", lr=0.05, radius=0.01)
    here = torch.zeros(1, SIDE, SIDE)
    for _ in range(5):
        ask = optimizer.ask()
        direction = (ask.points[0] - ask.points[1]) / 0.02
        values = bowl(ask.points)
        here = here - 0.05 * float(values[0] - values[1]) / 0.02 * direction
        optimizer.tell(ask, Answer(values))
        torch.testing.assert_close(optimizer.recommend(), here, rtol=1e-3, atol=1e-5)


def test_mezo_keeps_nothing_but_the_edit() -> None:
    """Between two steps MeZO holds the d numbers of the edit, but no direction."""
    space = PixelSpace(500, 500)
    optimizer = make("mezo", space)
    for _ in range(2):
        ask = optimizer.ask()
        optimizer.tell(ask, Answer(torch.zeros(2, dtype=torch.float64)))
    held = [v for v in vars(optimizer).values() if isinstance(v, Tensor)]
    assert sum(tensor.numel() for tensor in held) == 500 * 500


def test_openai_es_steps_as_torchs_adam_would() -> None:
    optimizer = make("openai-es", pairs=4, lr=0.03, sigma=0.02)
    variable = torch.zeros(1, SIDE, SIDE, requires_grad=True)
    adam = torch.optim.Adam([variable], lr=0.03)
    for _ in range(4):
        ask = optimizer.ask()
        values = bowl(ask.points)
        ranks = values.argsort().argsort().float() / (len(values) - 1) - 0.5
        directions = (ask.points[0::2] - ask.points[1::2]) / 0.04
        pull = (ranks[0::2] - ranks[1::2]).view(-1, 1, 1, 1)
        variable.grad = (pull * directions).mean(0)
        adam.step()
        optimizer.tell(ask, Answer(values))
        torch.testing.assert_close(optimizer.recommend(), variable.detach(), rtol=1e-3, atol=1e-5)


def test_sep_cma_finds_the_scales_of_an_ill_conditioned_bowl() -> None:
    """Scales differ by a factor of 1,000, so each axis needs its own variance."""
    scales = torch.logspace(0, 3, SIDE * SIDE).view(1, SIDE, SIDE)

    def valley(points: Tensor) -> Tensor:
        return 0.5 * (scales * (points - 0.1) ** 2).flatten(1).sum(1).double()

    optimizer = make("sep-cma", sigma=0.1)
    found = play(optimizer, valley, 5000)
    assert float(valley(found[None])) < 1e-6
    variance = optimizer.state_dict()["variance"]
    assert isinstance(variance, Tensor)
    correlation = np.corrcoef(variance.log().flatten(), scales.log().flatten())[0, 1]
    assert correlation < -0.95


def test_released_gezo_never_lets_a_minus_direction_win() -> None:
    optimizer = make("gezo-released", samples=3, minibatches=2)
    before = optimizer.recommend()
    ask = optimizer.ask()
    assert len(ask.points) == 12
    values = torch.full((12,), 5.0, dtype=torch.float64)
    values[0::2] = -100.0  # every minus point is far better
    values[7] = 4.0  # plus point of perturbation 2 on its second minibatch
    optimizer.tell(ask, Answer(values))
    torch.testing.assert_close(optimizer.recommend(), ask.points[7])
    torch.testing.assert_close(ask.points[5], ask.points[7])
    assert not torch.equal(optimizer.recommend(), before)


def test_released_adam_is_torchs_made_anew_with_each_epoch() -> None:
    optimizer = make("adam-released", iterations=3, lr=0.01)
    variable = torch.zeros(1, SIDE, SIDE, requires_grad=True)
    for step in range(7):
        if step % 3 == 0:
            adam = torch.optim.Adam([variable], lr=0.01)
        ask = optimizer.ask()
        variable.grad = variable.detach() - TARGET
        adam.step()
        optimizer.tell(ask, Answer(bowl(ask.points), None, ask.points - TARGET))
        torch.testing.assert_close(optimizer.recommend(), variable.detach())


def test_ranks_are_centred_and_even() -> None:
    found = centred_ranks(torch.tensor([3.0, -7.0, 100.0]))
    assert found.tolist() == [0.0, -0.5, 0.5]


def test_nevergrad_is_asked_and_told_as_by_hand() -> None:
    optimizer = make("nevergrad:DE", budget=500, sigma=0.1, workers=5)
    seed = optimizer.state_dict()["seed"]
    array = ng.p.Array(init=np.zeros((1, SIDE, SIDE))).set_mutation(sigma=0.1)
    array.random_state = np.random.RandomState(seed)
    reference = ng.optimizers.registry["DE"](array, budget=505, num_workers=5)
    for _ in range(30):
        ask = optimizer.ask()
        values = bowl(ask.points)
        candidates = [reference.ask() for _ in range(5)]
        for point, candidate, value in zip(ask.points, candidates, values.tolist(), strict=True):
            np.testing.assert_allclose(point.numpy(), candidate.value, atol=1e-6)
            reference.tell(candidate, value)
        optimizer.tell(ask, Answer(values))
    expected = reference.provide_recommendation().value
    np.testing.assert_allclose(optimizer.recommend().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["StupidRandom", "CMA"])
def test_a_recommendation_of_nevergrad_changes_no_later_ask(name: str) -> None:
    asked = []
    for looks in (False, True):
        optimizer = make(f"nevergrad:{name}", budget=500, workers=2)
        for _ in range(4):
            ask = optimizer.ask()
            optimizer.tell(ask, Answer(bowl(ask.points)))
            if looks:
                optimizer.recommend()
        asked.append(ask.points)
    assert torch.equal(*asked)


def test_a_strategy_that_seeds_itself_from_the_clock_is_not_resumed_as_another() -> None:
    optimizer = make("nevergrad:CmaFmin2", budget=100)
    for _ in range(5):
        ask = optimizer.ask()
        optimizer.tell(ask, Answer(bowl(ask.points)))
    state = optimizer.state_dict()
    with pytest.raises(ConfigError, match="does not repeat itself"):
        make("nevergrad:CmaFmin2", budget=100).load_state_dict(state)


def test_an_unknown_strategy_is_named_with_its_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no strategy 'CMAA' \(did you mean"):
        make("nevergrad:CMAA")


def test_a_strategy_that_cannot_hold_the_dimension_says_which_space_works() -> None:
    with pytest.raises(ConfigError, match=r"would take about .* GB in space 'pixel'.*lowres:16"):
        make("nevergrad:CMA", PixelSpace(224, 224))
    assert make("nevergrad:CMA", LowresSpace(224, 224, 16)).ask().points.shape[1:] == (1, 16, 16)


def test_a_strategy_that_fails_in_one_dimension_says_so() -> None:
    with pytest.raises(ConfigError, match="NGOpt cannot search a space of one dimension"):
        play(make("nevergrad:NGOpt", LowresSpace(SIDE, SIDE, 1), budget=100), bowl, 100)


def test_memory_is_foreseen_within_a_factor_of_three() -> None:
    """The estimate is compared with the memory that CMA takes in 3,000 dimensions."""
    tracemalloc.start()
    array = ng.p.Array(init=np.zeros(3000))
    strategy = ng.optimizers.registry["CMA"](array, budget=100, num_workers=1)
    strategy.tell(strategy.ask(), 0.0)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken / 3 < foreseen_memory("CMA", 3000) < 3 * taken
