"""Each method has the properties that its paper describes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import TRAIN, config, problem_of, solve
from tiny import TinyEncoder, tiny_registry
from zobench_plugins.methods.batch_sampling import stratified_batches
from zobench_plugins.methods.biasadv import fit_biased_head
from zobench_plugins.methods.group_dro import GroupDroParameters, fit_worst_group
from zobench_plugins.methods.sketch import SketchParameters, xdog

from zobench.contracts.encoder import EncoderSpec
from zobench.errors import ConfigError
from zobench.problem.heads import fit_head


def groups(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and groups; feature 0 predicts the label, feature 1 the sensitive attribute.

    Label and sensitive attribute agree in 90 % of rows. Feature 1 has the larger shift.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    sensitive = np.where(rng.random(n) < 0.9, label, 1 - label)
    noise = rng.normal(size=(n, 4))
    noise[:, 0] += 1.2 * (2 * label - 1)
    noise[:, 1] += 2.5 * (2 * sensitive - 1)
    return noise, label, 2 * label + sensitive


def worst_loss(head: Any, x: np.ndarray, label: np.ndarray, group: np.ndarray) -> float:
    losses = np.logaddexp(0, -(2 * label - 1) * head.score(x))
    return max(losses[group == number].mean() for number in range(4))


def test_group_dro_weighs_the_worst_group_most_and_helps_it() -> None:
    x, label, group = groups()
    erm = fit_head(x, label, protocol="converged", role="disease", rng=np.random.default_rng(0))
    head, weights = fit_worst_group(x, label, group, GroupDroParameters())
    losses = [
        np.logaddexp(0, -(2 * label - 1) * head.score(x))[group == g].mean() for g in range(4)
    ]
    worst = int(np.argmax(losses))
    assert np.allclose(weights.sum(1), 1)
    assert int(np.argmax(weights[-1])) == worst
    assert weights[-1, worst] > weights[100, worst] > weights[0, worst] == 0.25
    assert worst_loss(head, x, label, group) < 0.8 * worst_loss(erm, x, label, group)


def test_group_dro_with_a_still_adversary_is_the_mean_over_groups() -> None:
    x, label, group = groups()
    parameters = GroupDroParameters(steps=4000, group_step=0.0)
    head, weights = fit_worst_group(x, label, group, parameters)
    counts = np.bincount(group, minlength=4)
    balanced = fit_head(
        x,
        label,
        protocol="converged",
        role="disease",
        rng=np.random.default_rng(0),
        weights=len(x) / (4 * counts[group]),
    )
    assert (weights == 0.25).all()
    assert np.allclose(head.score(x), balanced.score(x), atol=0.05)


def test_a_long_group_step_leaves_the_worst_group_alone_and_no_number_is_lost() -> None:
    x, label, group = groups()
    head, weights = fit_worst_group(x, label, group, GroupDroParameters(group_step=1e6))
    assert np.isfinite(head.score(x)).all()
    assert np.allclose(weights.sum(1), 1)
    assert weights[-1].max() > 0.99


def test_batches_hold_equally_many_of_each_cell_and_everybody_comes_round() -> None:
    rng = np.random.default_rng(1)
    label = (rng.random(203) < 0.3).astype(np.int64)
    sensitive = (rng.random(203) < 0.2).astype(np.int64)
    cell = 2 * label + sensitive
    batches = list(stratified_batches(label, sensitive, 32, rng))
    for rows in batches:
        assert np.bincount(cell[rows], minlength=4).tolist() == [8] * 4
    everybody = np.concatenate(batches)
    assert set(everybody.tolist()) == set(range(203))
    times = np.bincount(everybody)
    for number in range(4):
        assert times[cell == number].max() - times[cell == number].min() <= 1


def test_the_paper_protocol_trains_on_the_batches_that_it_is_given() -> None:
    x, label, group = groups()
    seen: list[np.ndarray] = []

    def batches(rng: np.random.Generator) -> Iterator[np.ndarray]:
        for rows in stratified_batches(label, group % 2, 32, rng):
            seen.append(rows)
            yield rows

    rng = np.random.default_rng(0)
    fit_head(x, label, protocol="paper", role="disease", rng=rng, batches=batches)
    assert len(seen) == 50 * -(-np.bincount(group).max() // 8)
    assert all((np.bincount(group[rows], minlength=4) == 8).all() for rows in seen)


def test_the_biased_head_gives_up_on_what_contradicts_the_bias() -> None:
    x, label, group = groups()
    biased = fit_biased_head(x, label, 0.9)
    fair = fit_head(x, label, protocol="converged", role="disease", rng=np.random.default_rng(0))
    against = (group == 1) | (group == 2)
    right = [((head.score(x) > 0) == label)[against].mean() for head in (biased, fair)]
    assert right[0] < right[1]


def test_biasadv_lowers_the_biased_heads_confidence_and_books_the_way_back(tmp_path: Path) -> None:
    (solved,) = solve(tmp_path, "biasadv")
    before, after = solved.result.notes["confidence_of_biased_head"]
    assert after < before - 0.02
    optimize = solved.result.ledger["optimize"]
    assert optimize["backward"] == 10 * TRAIN
    assert optimize["queries"] == 10 * TRAIN * 3 + TRAIN


def test_biasadv_refuses_an_encoder_without_gradients(tmp_path: Path) -> None:
    class Closed(TinyEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.spec = EncoderSpec("closed", (1, 8, 8), 6, False, True, "closed", 50)

    with pytest.raises(
        ConfigError,
        match="biasadv needs gradients, which encoder 'tiny' does not give; leave it out",
    ):
        solve(tmp_path, "biasadv", encoder=lambda request: Closed())


def test_a_sketch_has_lines_at_edges_and_nothing_else() -> None:
    image = np.full((32, 32), 0.7, dtype=np.float32)
    image[:, 16:] = 0.9
    drawn = xdog(image, SketchParameters())
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn[:, :10] == 1).all()
    assert (drawn[:, 24:] == 1).all()
    assert drawn[:, 14:16].min() < 0.5


def upside_down(image: np.ndarray) -> np.ndarray:
    return image[::-1]


def wrong_shape(image: np.ndarray) -> np.ndarray:
    return image[0]


def test_the_sketcher_can_be_replaced(tmp_path: Path) -> None:
    with problem_of(config(), tmp_path, tiny_registry()) as problem:
        turned = problem.solve("sketch", {"sketcher": "test_methods:upside_down"})
        assert turned.result.ledger["setup"]["queries"] == TRAIN
        for name, words in (
            ("test_methods:wrong_shape", "one value in"),
            ("test_methods:TRAIN", "no function"),
            ("nowhere:draw", "importable"),
            ("draw", "importable"),
        ):
            with pytest.raises(ConfigError, match=words):
                problem.solve("sketch", {"sketcher": name})
