"""What every registered optimizer must do, found through the registry itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyDataset, TinyEncoder

from zobench.embedding import MeteredEncoder, embed_images
from zobench.heads import fit_head
from zobench.images import load_images
from zobench.ledger import Ledger
from zobench.objective import Objective
from zobench.optimizers import FEEDBACK, Ask, Optimizer, OptimizerContext
from zobench.oracle import Oracle
from zobench.plugins import load_registry
from zobench.spaces import PixelSpace
from zobench.store import Checkpoint, RunFolder

FAMILIES = {
    "nevergrad": ("OnePlusOne", "CMA", "DiagonalCMA", "DE", "PSO", "TBPSA", "SPSA", "NGOpt"),
}
"""Members that stand for a family; a family without any fails the first test."""

OFFERS = load_registry().offers["optimizers"]
NAMES = sorted(
    example
    for name, offer in OFFERS.items()
    for example in (
        [f"{name}:{member}" for member in FAMILIES.get(name, ())]
        if offer.plugin.argument
        else [name]
    )
)
BATCH = 4
SPACE = PixelSpace(8, 8)


def make(name: str, seed: int = 0) -> Optimizer:
    rng = np.random.default_rng(seed)
    offer, argument = load_registry().find("optimizers", name)
    context = OptimizerContext(SPACE, rng, budget=4000, batch_size=BATCH, argument=argument)
    optimizer: Optimizer = offer.plugin.make(context, {}, name)
    return optimizer


@pytest.fixture
def oracle() -> Oracle:
    films = load_images(TinyDataset(), np.arange(100))
    metered = MeteredEncoder(TinyEncoder(), Ledger())
    clean = embed_images(metered, films, "setup")
    head = fit_head(
        clean,
        films.sensitive,
        protocol="converged",
        role="sensitive",
        rng=np.random.default_rng(0),
    )
    objective = Objective(films, metered, head, 0.01, BATCH, np.random.SeedSequence(5))
    return Oracle(objective, SPACE, metered.ledger, 4000, "gradient")


def rounds(optimizer: Optimizer, oracle: Oracle, count: int) -> list[Ask]:
    asks = []
    for _ in range(count):
        ask = optimizer.ask()
        optimizer.tell(ask, oracle.query(ask))
        asks.append(ask)
    return asks


def test_each_family_has_members_here() -> None:
    assert set(FAMILIES) == {name for name, offer in OFFERS.items() if offer.plugin.argument}


@pytest.mark.parametrize("name", NAMES)
def test_declares_the_feedback_that_the_list_shows(name: str) -> None:
    optimizer = make(name)
    assert optimizer.feedback in FEEDBACK
    assert OFFERS[name.partition(":")[0]].plugin.label == optimizer.feedback


@pytest.mark.parametrize("name", NAMES)
def test_never_asks_for_more_than_it_declares(name: str, oracle: Oracle) -> None:
    optimizer = make(name)
    for ask in rounds(optimizer, oracle, 3):
        assert FEEDBACK.index(ask.want) <= FEEDBACK.index(optimizer.feedback)


@pytest.mark.parametrize("name", NAMES)
def test_recommends_a_finite_point_of_the_space_from_the_start(name: str, oracle: Oracle) -> None:
    optimizer = make(name)
    for _ in range(3):
        point = optimizer.recommend()
        assert tuple(point.shape) == SPACE.shape
        assert torch.isfinite(point).all()
        rounds(optimizer, oracle, 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_and_answers_ask_the_same_and_other_answers_do_not(
    name: str, oracle: Oracle
) -> None:
    asks = [[a.points for a in rounds(make(name, s), oracle, 4)] for s in (1, 1)]
    assert all(torch.equal(a, b) for a, b in zip(*asks, strict=True))
    told, otherwise = make(name, 1), make(name, 1)
    for _ in range(40):  # some look at a whole population before they react
        ask, twin = told.ask(), otherwise.ask()
        if not torch.equal(ask.points, twin.points):
            return
        answer = oracle.query(ask)
        told.tell(ask, answer)
        gradients = None if answer.gradients is None else -answer.gradients
        otherwise.tell(twin, replace(answer, values=-answer.values, gradients=gradients))
    pytest.fail("what it is told does not change what it asks")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [0, 1, 5, 13])
def test_save_and_restore_equals_no_interruption(name: str, before: int, oracle: Oracle) -> None:
    straight = make(name)
    rounds(straight, oracle, before)
    saved = {
        k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in straight.state_dict().items()
    }
    restored = make(name, seed=99)
    restored.load_state_dict(saved)
    for one, two in zip(rounds(straight, oracle, 3), rounds(restored, oracle, 3), strict=True):
        assert torch.equal(one.points, two.points)
        assert one.minibatch.tolist() == two.minibatch.tolist()
    assert torch.equal(straight.recommend(), restored.recommend())


def make_after(name: str, oracle: Oracle, count: int) -> Optimizer:
    optimizer = make(name, 1)
    rounds(optimizer, oracle, count)
    return optimizer


@pytest.mark.parametrize("name", NAMES)
def test_the_state_survives_the_store(name: str, oracle: Oracle, tmp_path: Path) -> None:
    optimizer = make_after(name, oracle, 3)
    folder = RunFolder(tmp_path / "run")
    for ask in range(3):
        folder.append({"ask": ask}, {})
    folder.checkpoint(Checkpoint(3, optimizer.state_dict(), {"queries": 1}, 0.0, 0.0))
    found = folder.restore()
    assert found is not None
    restored = make(name, 7)
    restored.load_state_dict(found.optimizer)
    assert torch.equal(restored.ask().points, optimizer.ask().points)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_tensors_and_plain_values(name: str, oracle: Oracle) -> None:
    optimizer = make(name)
    rounds(optimizer, oracle, 2)
    for value in optimizer.state_dict().values():
        assert isinstance(value, torch.Tensor | int | float | str)


@pytest.mark.parametrize("name", NAMES)
def test_holds_no_way_to_encoder_images_or_labels(name: str, oracle: Oracle) -> None:
    optimizer = make(name)
    rounds(optimizer, oracle, 2)
    objective = oracle.objective
    forbidden = {
        id(each)
        for each in (
            oracle,
            objective,
            objective.images,
            objective.images.pixels,
            objective.images.sensitive,
            objective.encoder,
            objective.head,
        )
    }
    assert not forbidden & {id(each) for each in _reachable(optimizer)}


def _reachable(root: object) -> list[object]:
    """Everything that hangs on an object through attributes and containers."""
    found: dict[int, object] = {}
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in found or isinstance(each, type | str | int | float):
            continue
        found[id(each)] = each
        if isinstance(each, dict):
            waiting += list(each.values())
        elif isinstance(each, list | tuple | set):
            waiting += list(each)
        else:
            waiting += list(getattr(each, "__dict__", {}).values())
    return list(found.values())
