"""Best-of around an optimizer whose path is scripted, on embeddings whose best edit is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, Ask, AskTell, Feedback, OptimizerContext, State
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError, PluginError
from zobench.problem.heads import Head
from zobench.problem.spaces import PixelSpace
from zobench.registry.discovery import Registry, load_registry
from zobench.registry.plugin import Plugin
from zobench.runs.resolved import ResolvedPlugin, resolve_plugin
from zobench.runs.search_parts import build_optimizer, feedback_of

IMAGES, DIMENSION, BATCH, CHECK = 400, 6, 16, 96
SPACE = PixelSpace(4, 4)


made: list[tuple[OptimizerContext, Walk]] = []
"""Contexts and walks, in the order in which they were made."""


@dataclass(frozen=True)
class WalkParameters:
    stride: float = parameter(0.1, "what every pixel grows by in a step", low=0)


class Walk(Stateful):
    """Brighter by ``stride`` after every answer, whatever it says."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("steps", "rng")

    def __init__(self, context: OptimizerContext, parameters: WalkParameters) -> None:
        assert context.client is None, "the level value has no client data"
        self._p, self.rng, self.steps = parameters, context.rng, 0
        self.told = list[Answer]()
        made.append((context, self))

    def ask(self) -> Ask:
        return Ask(self.recommend()[None], self.rng.integers(0, 1000, 1))

    def tell(self, ask: Ask, answer: Answer) -> None:
        self.told.append(answer)
        self.steps += 1

    def recommend(self) -> Tensor:
        return torch.full(SPACE.shape, self.steps * self._p.stride)


class WhiteWalk(Walk):
    """The same with a gradient in every ask, and twice the batch size."""

    feedback: ClassVar[Feedback] = "gradient"

    def __init__(self, context: OptimizerContext, parameters: WalkParameters) -> None:
        assert context.client is not None
        super().__init__(replace(context, client=None), parameters)

    def ask(self) -> Ask:
        ask = super().ask()
        return replace(ask, want="gradient", images=2 * BATCH)


class GrowingWalk(Walk):
    """Every ask is on more images than the last one."""

    def ask(self) -> Ask:
        return replace(super().ask(), images=BATCH * (1 + self.steps))


class DearWalk(Walk):
    """Asks are on 20 times the batch size."""

    def ask(self) -> Ask:
        return replace(super().ask(), images=20 * BATCH)


class LiveWalk(Walk):
    """Every ask grows the edit in place, and the state holds the edit itself."""

    def __init__(self, context: OptimizerContext, parameters: WalkParameters) -> None:
        super().__init__(context, parameters)
        self.edit = torch.zeros(SPACE.shape)

    def ask(self) -> Ask:
        self.edit += 0.01
        return super().ask()

    def recommend(self) -> Tensor:
        return self.edit.clone()

    def state_dict(self) -> State:
        return {**super().state_dict(), "edit": self.edit}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        edit = state["edit"]
        assert isinstance(edit, Tensor)
        self.edit = edit.clone()


class SpawningWalk(Walk):
    """Draws from a stream of its own."""

    def __init__(self, context: OptimizerContext, parameters: WalkParameters) -> None:
        super().__init__(context, parameters)
        (self.rng,) = context.rng.spawn(1)


class NosyWalk(Walk):
    """Names its images, which its level does not include."""

    def ask(self) -> Ask:
        return Ask(self.recommend()[None], rows=np.zeros((1, BATCH), dtype=np.int64))


WALKS = {
    "walk": Walk,
    "white-walk": WhiteWalk,
    "growing-walk": GrowingWalk,
    "dear-walk": DearWalk,
    "live-walk": LiveWalk,
    "nosy-walk": NosyWalk,
    "spawning-walk": SpawningWalk,
}


def registry() -> Registry:
    """The installed plugins and the walks."""
    there = load_registry()
    one = there.offers["optimizers"]["best-of"]
    walks = {
        name: replace(one, name=name, plugin=Plugin(walk, label=walk.feedback))
        for name, walk in WALKS.items()
    }
    return Registry({**there.offers, "optimizers": {**there.offers["optimizers"], **walks}})


def plugin(name: str = "best-of:walk", **overrides: object) -> ResolvedPlugin:
    return resolve_plugin(
        "optimizer", name, {k.replace("__", "."): v for k, v in overrides.items()}, registry()
    )


class Service:
    """Embeds images whose second number is the attribute until an edit of ``best`` hides it.

    The first number is the disease. Away from ``best`` the attribute is back, mirrored beyond it. An
    edit brighter than ``intact`` leaves nothing but noise.
    """

    def __init__(self, best: float, intact: float = math.inf) -> None:
        rng = np.random.default_rng(0)
        self.label = rng.integers(0, 2, IMAGES)
        self.sensitive = np.where(rng.random(IMAGES) < 0.85, self.label, 1 - self.label)
        self.noise = rng.standard_normal((IMAGES, DIMENSION))
        self.best, self.intact = best, intact
        self.queries, self.asks = 0, list[Ask]()

    def embed(self, brightness: float, rows: np.ndarray) -> Tensor:
        found = self.noise[rows].copy()
        if brightness > self.intact:
            return torch.from_numpy(found).float()
        found[:, 0] += 2.0 * self.label[rows]
        found[:, 1] += 4.0 * (self.best - brightness) * self.sensitive[rows]
        return torch.from_numpy(found).float()

    def client(self) -> Client:
        return Client(
            head=Head(np.zeros((2, DIMENSION)), np.zeros(2)),
            clean=self.embed(0.0, np.arange(IMAGES)),
            sensitive=torch.from_numpy(self.sensitive),
            label=torch.from_numpy(self.label),
            pixels=lambda rows: torch.zeros(len(rows), *SPACE.shape),
            values=lambda embeddings, rows: embeddings.double().mean((1, 2)),
            penalty=0.0,
        )

    def context(self, budget: int = 4000, seed: int = 0) -> OptimizerContext:
        rng = np.random.default_rng(seed)
        return OptimizerContext(SPACE, rng, budget, BATCH, client=self.client())

    def drive(self, optimizer: AskTell, budget: int) -> None:
        """Answers until the budget is spent; every answer holds embeddings and rows."""
        while True:
            ask = optimizer.ask()
            if self.queries + ask.price(BATCH, 2) > budget:
                return
            self.queries += ask.price(BATCH, 2)
            self.asks.append(ask)
            rows = ask.rows
            if rows is None:
                rows = np.random.default_rng(ask.minibatch[0]).integers(
                    0, IMAGES, (1, ask.images_each(BATCH))
                )
            embeddings = self.embed(float(ask.points[0].mean()), rows[0])[None]
            gradients = torch.zeros(1, *SPACE.shape) if ask.want == "gradient" else None
            optimizer.tell(ask, Answer(torch.zeros(1).double(), embeddings, gradients, rows))


def is_check(ask: Ask) -> bool:
    return ask.rows is not None


@pytest.mark.parametrize("best", [1.5, 4.0])
def test_recommends_the_edit_that_hides_the_attribute_although_the_walk_goes_on(
    best: float,
) -> None:
    service, budget = Service(best), 4000
    optimizer = build_optimizer(plugin(), service.context(budget))
    service.drive(optimizer, budget)
    checked = [float(each.points.mean()) for each in service.asks if is_check(each)]
    nearest = min(checked, key=lambda each: abs(each - best))
    assert checked[-1] > 2.0 * best
    assert float(optimizer.recommend().mean()) == nearest


def test_recommends_no_edit_where_every_edit_makes_it_worse() -> None:
    service, budget = Service(-1.0), 2000
    optimizer = build_optimizer(plugin(), service.context(budget))
    service.drive(optimizer, budget)
    assert any(map(is_check, service.asks))
    assert not optimizer.recommend().any()


def test_an_edit_that_destroys_the_embeddings_is_not_the_best() -> None:
    """With no disease to be read there is no gap either."""
    service, budget = Service(2.0, intact=3.0), 4000
    optimizer = build_optimizer(plugin(inner__stride=0.05), service.context(budget))
    service.drive(optimizer, budget)
    assert float(service.asks[-1].points.mean()) > 3.0
    assert 1.0 < float(optimizer.recommend().mean()) < 3.0


def test_the_optimizer_inside_asks_and_learns_what_it_would_alone() -> None:
    """Random numbers included; and it learns no more than its level includes."""
    service, alone_service = Service(1.5), Service(1.5)
    optimizer = build_optimizer(plugin(), service.context())
    alone = build_optimizer(plugin("walk"), alone_service.context())
    service.drive(optimizer, 4000)
    alone_service.drive(alone, 4000)
    own = [each for each in service.asks if not is_check(each)]
    assert len(own) > 100
    for mine, theirs in zip(own, alone_service.asks, strict=False):
        assert torch.equal(mine.points, theirs.points)
        assert np.array_equal(mine.minibatch, theirs.minibatch)
    inner = made[-2][1]
    assert len(inner.told) == len(own)
    assert all(each.embeddings is None and each.rows is None for each in inner.told)


def test_an_ask_beyond_the_level_of_the_optimizer_inside_is_refused() -> None:
    service = Service(1.5)
    with pytest.raises(PluginError, match=r"'nosy-walk'.*rows"):
        build_optimizer(plugin("best-of:nosy-walk"), service.context()).ask()


def spent_at_checks(service: Service) -> list[int]:
    """Queries of the optimizer inside before each check."""
    found, inside = [], 0
    for ask in service.asks:
        if is_check(ask):
            found.append(inside)
        else:
            inside += ask.price(BATCH, 2)
    return found


def test_checks_come_evenly_and_then_at_growing_distances() -> None:
    """A check waits for three times its price, and for a quarter of what was spent before the last.

    Asks cost 16 queries, so a wait ends at the next multiple of 16.
    """
    service, budget = Service(1.5), 6000
    service.drive(build_optimizer(plugin(), service.context(budget)), budget)
    expected, before = [288], 0
    while True:
        last, before = expected[-1], expected[-1]
        wait = max(288, 16 * math.ceil(0.25 * before / 16))
        if last + wait + (len(expected) + 1) * CHECK > budget:
            break
        expected.append(last + wait)
    found = spent_at_checks(service)
    assert found[: len(expected)] == expected
    assert len(found) <= len(expected) + 1  # one more where the budget ends


@pytest.mark.parametrize("name", ["best-of:walk", "best-of:white-walk", "best-of:growing-walk"])
@pytest.mark.parametrize("budget", [400, 1000, 6000])
def test_the_checks_keep_their_share_and_the_last_ask_is_checked(name: str, budget: int) -> None:
    service = Service(1.5)
    optimizer = build_optimizer(plugin(name), service.context(budget))
    told = made[-1][0].budget
    service.drive(optimizer, budget)
    places = [place for place, each in enumerate(service.asks) if is_check(each)]
    spent = np.cumsum([each.price(BATCH, 2) for each in service.asks])
    for count, place in enumerate(places[:-1], 1):
        assert count * CHECK <= 0.25 * spent[place] + 1e-9
    unchecked = sum(each.price(BATCH, 2) for each in service.asks[places[-1] + 1 :])
    assert unchecked < CHECK
    following = optimizer.ask().price(BATCH, 2)
    assert budget - spent[-1] < following
    assert told <= spent_at_checks(service)[-1] + unchecked + following


@pytest.mark.parametrize("name", ["best-of:walk", "best-of:live-walk"])
def test_a_state_goes_on_alike_where_a_check_has_put_off_an_ask(name: str) -> None:
    """After a check the ask that was put off waits; its random numbers must not be drawn twice."""
    service = Service(1.5)
    optimizer = build_optimizer(plugin(name), service.context())
    for budget in range(16, 900, 16):
        service.drive(optimizer, budget)
        restored = build_optimizer(plugin(name), service.context(seed=7))
        restored.load_state_dict(optimizer.state_dict())
        one, other = optimizer.ask(), restored.ask()
        assert torch.equal(one.points, other.points)
        assert np.array_equal(one.minibatch, other.minibatch)
        assert np.array_equal(one.rows, other.rows)
    restored = build_optimizer(plugin(name), service.context(seed=7))
    restored.load_state_dict(optimizer.state_dict())
    twin = Service(1.5)
    twin.queries = service.queries
    service.drive(optimizer, 4000)
    twin.drive(restored, 4000)
    assert torch.equal(optimizer.recommend(), restored.recommend())


def test_every_check_is_on_the_same_images_as_many_of_each_cell() -> None:
    service = Service(1.5)
    service.drive(build_optimizer(plugin(), service.context()), 4000)
    checks = [each.rows for each in service.asks if each.rows is not None]
    assert len(checks) > 3
    assert all(np.array_equal(each, checks[0]) for each in checks)
    cells = 2 * service.label[checks[0][0]] + service.sensitive[checks[0][0]]
    assert np.bincount(cells).tolist() == [CHECK // 4] * 4


def test_the_level_is_the_higher_one_and_the_parameters_are_those_of_both() -> None:
    assert feedback_of(plugin("best-of:walk")) == "embeddings"
    assert feedback_of(plugin("best-of:white-walk")) == "gradient"
    assert feedback_of(plugin("best-of:best-of:white-walk")) == "gradient"
    found = plugin("best-of:best-of:walk", share=0.5, inner__inner__stride=0.3)
    assert found.essential["share"] == 0.5
    assert found.essential["inner.inner.stride"] == 0.3
    assert found.essential["inner.share"] == 0.25
    assert found.distributions("optimizer").keys() == {
        "optimizer",
        "optimizer.inner",
        "optimizer.inner.inner",
    }


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("best-of", {}, "needs something after a colon: best-of:<optimizer>"),
        ("best-of:wlak", {}, "'wlak' is not known .did you mean 'walk'"),
        ("best-of:walk", {"inner__strid": 1}, r"optimizer\.inner has no parameter 'strid'"),
        (
            "best-of:walk",
            {"stride": 1},
            r"no parameter 'stride'.*those of walk: optimizer\.inner\.NAME",
        ),
        ("best-of:walk", {"inner__stride": -1}, r"optimizer\.inner\.stride is -1, but must be"),
        ("walk", {"inner__stride": 1}, r"no parameter 'inner\.stride'"),
    ],
)
def test_names_and_parameters_that_do_not_fit_are_refused(
    name: str, overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plugin(name, **overrides)


def test_an_optimizer_inside_draws_what_it_draws_alone() -> None:
    alone, inside = (
        build_optimizer(plugin(name), Service(1.5).context(4000))
        for name in ("spawning-walk", "best-of:spawning-walk")
    )
    assert alone.ask().minibatch.tolist() == inside.ask().minibatch.tolist()


def test_a_budget_that_pays_no_check_is_refused() -> None:
    with pytest.raises(ConfigError, match="budget is 383, but must be at least 384 for best-of"):
        build_optimizer(plugin(), Service(1.5).context(383))


def test_a_first_ask_that_leaves_no_check_is_refused() -> None:
    optimizer = build_optimizer(plugin("best-of:dear-walk"), Service(1.5).context(400))
    with pytest.raises(
        ConfigError, match=r"at least 416 for best-of: the first batch .* costs 320"
    ):
        optimizer.ask()
    assert build_optimizer(plugin("best-of:dear-walk"), Service(1.5).context(416)).ask()


def without_sick_of_group_1(service: Service) -> None:
    service.label[service.sensitive == 1] = 0


def without_group_0(service: Service) -> None:
    service.sensitive[:] = 1


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (without_sick_of_group_1, "label 1 and attribute 1"),
        (without_group_0, "label 0 and attribute 0"),
    ],
)
def test_a_cell_without_images_is_refused(change: Callable[[Service], None], missing: str) -> None:
    service = Service(1.5)
    change(service)
    with pytest.raises(ConfigError, match=f"no training image has {missing}"):
        build_optimizer(plugin(), service.context())
