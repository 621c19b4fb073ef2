"""What an optimizer hands over is checked by type, dtype, device, shape and size, and copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from zobench.contracts.handover import (
    MAX_STATE_BYTES,
    MAX_TEXT_CHARACTERS,
    AskRules,
    checked_ask,
    taken_ask,
    taken_point,
    taken_state,
)
from zobench.contracts.optimizer import Ask, Feedback
from zobench.errors import PluginError
from zobench.files.regular import MAX_BYTES

SHAPE = (1, 2, 2)
POINTS = torch.zeros(3, *SHAPE)
NUMBERS = np.arange(3)


def checked(found: object, level: Feedback = "value") -> Ask:
    return taken_ask(checked_ask(found, AskRules("mine", SHAPE, level, 5, 60)), "mine")


BROKEN_ASKS: dict[str, tuple[object, str]] = {
    "a tensor": (POINTS, "gave a Tensor; it must give zobench.contracts.Ask"),
    "nothing": (None, "gave a NoneType"),
    "a list of points": (Ask([1.0], NUMBERS), "points as list"),  # type: ignore[arg-type]
    "an array of points": (Ask(POINTS.numpy(), NUMBERS), "points as ndarray"),  # type: ignore[arg-type]
    "float16": (Ask(POINTS.half(), NUMBERS), "points of type float16, which is not converted"),
    "float64": (Ask(POINTS.double(), NUMBERS), "points of type float64, which is not converted"),
    "whole numbers": (Ask(POINTS.long(), NUMBERS), "points of type int64"),
    "another shape": (Ask(POINTS[:, :, :1], NUMBERS), r"points of shape \(3, 1, 1, 2\)"),
    "no points": (Ask(POINTS[:0], NUMBERS[:0]), r"points of shape \(0, 1, 2, 2\)"),
    "another device": (Ask(POINTS.to("meta"), NUMBERS), "points on meta"),
    "sparse": (Ask(POINTS.to_sparse(), NUMBERS), "layout torch.sparse_coo"),
    "a billion rows": (Ask(POINTS[:1].expand(10**9, -1, -1, -1), NUMBERS), "at most 100,000,000"),
    "NaN": (Ask(POINTS * torch.nan, NUMBERS), "points with NaN or infinity"),
    "a list of numbers": (Ask(POINTS, [0, 1, 2]), "minibatch numbers as list"),  # type: ignore[arg-type]
    "a masked array": (Ask(POINTS, np.ma.masked_array(NUMBERS)), "numbers as MaskedArray"),
    "times": (Ask(POINTS, NUMBERS.astype("timedelta64[s]")), "type timedelta64"),  # type: ignore[arg-type]
    "too few numbers": (Ask(POINTS, NUMBERS[:2]), r"minibatch numbers of shape \(2,\)"),
    "negative numbers": (Ask(POINTS, NUMBERS - 1), "the minibatch number -1"),
    "a huge number": (Ask(POINTS, NUMBERS.astype(np.uint64) + 2**63), "the minibatch number 92233"),  # type: ignore[arg-type]
    "an unknown level": (Ask(POINTS, NUMBERS, "all"), "the feedback level 'all'"),  # type: ignore[arg-type]
    "a level that is no text": (Ask(POINTS, NUMBERS, np.array(["a"])), "the feedback level"),  # type: ignore[arg-type]
    "too high a level": (Ask(POINTS, NUMBERS, "gradient"), "at most its declared level, 'value'"),
    "no images": (Ask(POINTS), "no minibatch and no rows; it must give one of them"),
    "no image": (Ask(POINTS, NUMBERS, images=0), "images 0; .* from 1 to 60"),
    "more images than there are": (Ask(POINTS, NUMBERS, images=61), "images 61; .* from 1 to 60"),
    "half an image": (Ask(POINTS, NUMBERS, images=0.5), "images 0.5"),  # type: ignore[arg-type]
    "rows at level value": (Ask(POINTS, rows=np.zeros((3, 1), np.int64)), "rows at level 'value'"),
}

BROKEN_ROWS: dict[str, tuple[Ask, str]] = {
    "both": (Ask(POINTS, NUMBERS, rows=NUMBERS[:, None]), "both minibatch and rows"),
    "rows and their number": (Ask(POINTS, rows=NUMBERS[:, None], images=1), "both images and rows"),
    "no columns": (Ask(POINTS, rows=np.zeros((3, 0), np.int64)), r"rows of shape \(3, 0\)"),
    "too few": (Ask(POINTS, rows=np.zeros((2, 4), np.int64)), r"rows of shape \(2, 4\)"),
    "one dimension": (Ask(POINTS, rows=NUMBERS), r"rows of shape \(3,\)"),
    "more than there are": (Ask(POINTS, rows=np.zeros((3, 61), np.int64)), r"1 <= b <= 60"),
    "numbers with a point": (Ask(POINTS, rows=np.zeros((3, 1))), "type float64"),
    "one that is not there": (Ask(POINTS, rows=np.array([[0], [60], [1]])), "the row 60"),
    "a negative one": (Ask(POINTS, rows=np.array([[0], [-1], [1]])), "the row -1"),
    "a list": (Ask(POINTS, rows=[[0], [1], [2]]), "rows as list"),  # type: ignore[arg-type]
}


BROKEN_COTANGENTS: dict[str, tuple[Ask, str]] = {
    "embeddings only": (
        Ask(POINTS, NUMBERS, "embeddings", cotangents=torch.zeros(3, 5, 7)),
        "cotangents with the feedback level 'embeddings'; it must give them with 'gradient' only",
    ),
    "too few images": (
        Ask(POINTS, NUMBERS, "gradient", cotangents=torch.zeros(3, 4, 7)),
        r"cotangents of shape \(3, 4, 7\); it must give a finite float32 tensor \(3, 5, D\)",
    ),
    "no numbers": (
        Ask(POINTS, NUMBERS, "gradient", 2, cotangents=torch.zeros(3, 2, 0)),
        r"\(3, 2, D\) on the CPU, D >= 1",
    ),
    "NaN": (
        Ask(POINTS, NUMBERS, "gradient", cotangents=torch.full((3, 5, 7), torch.nan)),
        "cotangents with NaN or infinity",
    ),
    "float64": (
        Ask(POINTS, NUMBERS, "gradient", cotangents=torch.zeros(3, 5, 7).double()),
        "cotangents of type float64",
    ),
}


@pytest.mark.parametrize("name", BROKEN_COTANGENTS)
def test_broken_cotangents_are_one_message(name: str) -> None:
    found, words = BROKEN_COTANGENTS[name]
    with pytest.raises(PluginError, match=r"optimizer 'mine': ask\(\) gave .*") as error:
        checked(found, "gradient")
    assert error.match(words)


def test_cotangents_are_copied() -> None:
    given = torch.ones(3, 5, 7)
    taken = checked(Ask(POINTS, NUMBERS, "gradient", cotangents=given), "gradient")
    given.zero_()
    assert taken.cotangents is not None
    assert bool((taken.cotangents == 1).all())


@pytest.mark.parametrize("name", BROKEN_ASKS)
def test_a_broken_ask_is_one_message_with_plugin_method_and_rule(name: str) -> None:
    found, words = BROKEN_ASKS[name]
    with pytest.raises(
        PluginError, match=r"optimizer 'mine': ask\(\) gave .*; it must give .+"
    ) as error:
        checked(found)
    assert error.match(words)


@pytest.mark.parametrize("name", BROKEN_ROWS)
def test_broken_rows_are_one_message(name: str) -> None:
    found, words = BROKEN_ROWS[name]
    with pytest.raises(
        PluginError, match=r"optimizer 'mine': ask\(\) gave .*; it must give"
    ) as error:
        checked(found, "embeddings")
    assert error.match(words)


@pytest.mark.parametrize("point", [torch.zeros(2), torch.zeros(SHAPE).double(), [0.0], None])
def test_a_broken_recommendation_is_refused(point: object) -> None:
    with pytest.raises(PluginError, match=r"optimizer 'mine': recommend\(\) gave a point"):
        taken_point(point, "mine", SHAPE)


BROKEN_STATES: dict[str, object] = {
    "a list": [1],
    "a name of no text": {1: 1},
    "an empty name": {"": 1},
    "a name of the file format": {"__metadata__": 1},
    "a name that is no Unicode": {"\ud800": 1},
    "nothing": {"a": None},
    "an array": {"a": np.zeros(1)},
    "a list in it": {"a": [1]},
    "complex": {"a": torch.zeros(1, dtype=torch.complex64)},
    "sparse": {"a": torch.zeros(1).to_sparse()},
    "meta": {"a": torch.zeros(1, device="meta")},
    "a long text": {"a": "x" * (MAX_TEXT_CHARACTERS + 1)},
    "a long number": {"a": 2**129},
    "too many": {f"a{number}": 0 for number in range(10_001)},
    "too large": {"a": torch.zeros(1).expand(MAX_STATE_BYTES)},
}


@pytest.mark.parametrize("name", BROKEN_STATES)
def test_a_broken_state_is_refused(name: str) -> None:
    with pytest.raises(
        PluginError, match=r"optimizer 'mine': state_dict\(\) gave .*; it must give"
    ):
        taken_state(BROKEN_STATES[name], "mine")


def test_numbers_points_and_states_are_taken_as_copies() -> None:
    points, numbers = POINTS.clone(), NUMBERS.copy()
    state: dict[str, Any] = {
        "edit": points,
        "step": 0.1,
        "asks": 3,
        "rng": "{}",
        "best": float("inf"),
    }
    ask, kept = checked(Ask(points, numbers)), taken_state(state, "mine")
    point = taken_point(points[0], "mine", SHAPE)
    points.fill_(7)
    numbers.fill(7)
    assert float(point.sum()) == 0
    assert ask.minibatch is not None
    assert ask.minibatch.tolist() == [0, 1, 2]
    assert torch.equal(kept["edit"], POINTS)  # type: ignore[arg-type]
    assert {name: kept[name] for name in ("step", "asks", "rng", "best")} == {
        name: state[name] for name in ("step", "asks", "rng", "best")
    }


def test_points_are_taken_without_their_graph_and_contiguous() -> None:
    points = POINTS.clone().transpose(2, 3).requires_grad_()
    taken = checked(Ask(points, NUMBERS.copy())).points
    assert not taken.requires_grad
    assert taken.is_contiguous()


def test_the_largest_state_can_be_read_again() -> None:
    assert MAX_STATE_BYTES < MAX_BYTES
