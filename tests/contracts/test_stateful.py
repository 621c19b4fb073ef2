"""State of optimizers that are made of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zobench.contracts.stateful import Stateful
from zobench.errors import PluginError


class Part(Stateful):
    """A part with everything that a state may hold."""

    remembered = ("edit", "rng", "least", "stage")

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.edit, self.least, self.stage = torch.zeros(3), float("inf"), "singles"


class Pair(Stateful):
    """Two parts of one kind, which must not be mistaken for each other."""

    remembered = ("part", "part2", "steps")

    def __init__(self) -> None:
        self.part, self.part2, self.steps = Part(0), Part(1), 0


class Whole(Stateful):
    """A pair inside another optimizer."""

    remembered = ("pair",)

    def __init__(self) -> None:
        self.pair = Pair()


def test_parts_of_parts_come_back_each_to_its_place() -> None:
    whole, other = Whole(), Whole()
    whole.pair.part.edit += 1.0
    whole.pair.part2.least, whole.pair.part2.stage, whole.pair.steps = 0.25, "pairs", 7
    whole.pair.part2.rng.normal(size=5)
    state = whole.state_dict()
    whole.pair.part.edit += 1.0  # a saved state is a copy
    other.load_state_dict(state)
    assert other.pair.part.edit.tolist() == [1.0] * 3
    assert other.pair.part2.edit.tolist() == [0.0] * 3
    assert (other.pair.part.least, other.pair.part2.least) == (float("inf"), 0.25)
    assert (other.pair.part.stage, other.pair.part2.stage) == ("singles", "pairs")
    assert other.pair.steps == 7
    assert other.pair.part2.rng.normal() == whole.pair.part2.rng.normal()
    assert other.pair.part.rng.normal() == Part(0).rng.normal()


def test_the_state_of_another_version_is_refused_and_what_it_lacks_is_named() -> None:
    state = {key: value for key, value in Whole().state_dict().items() if key != "pair.part2.edit"}
    with pytest.raises(PluginError, match="saved state of Part lacks 'edit': another version"):
        Whole().load_state_dict(state)
