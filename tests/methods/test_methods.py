"""What makes each method the one that its paper describes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SIZES, TinyEncoder, tiny_registry
from zobench_plugins.methods.batch_sampling import stratified_batches
from zobench_plugins.methods.biasadv import fit_biased_head
from zobench_plugins.methods.group_dro import GroupDroParameters, fit_worst_group
from zobench_plugins.methods.sketch import SketchParameters, xdog
from zobench_plugins.optimizers.random_search import RandomSearch, RandomSearchParameters

from zobench.config import RunConfig
from zobench.encoders import EncoderSpec
from zobench.errors import ConfigError, PluginError, StoreError
from zobench.heads import fit_head
from zobench.methods import MethodContext
from zobench.optimizers import OptimizerContext
from zobench.parameters import parameter
from zobench.plugins import Offer, Registry
from zobench.progress import Silence
from zobench.registration import Plugin
from zobench.solving import Problem, Solved
from zobench.statistics.measured import measure
from zobench.workshop import Workshop

TRAIN, TEST = 120, 160


def config(**fields: Any) -> RunConfig:
    settings: dict[str, Any] = {"budget": 200, "batch_size": 10, "replicates": 50, "snapshots": 1}
    names = {"encoder": "tiny", "dataset": "tiny", "disease": "spots"}
    return RunConfig(**{**settings, **names, "overrides": SIZES, **fields})


@contextmanager
def problem_of(config: RunConfig, out: Path, registry: Registry) -> Iterator[Problem]:
    with Workshop(registry, Silence()) as workshop:
        yield Problem(config, out, workshop)


def solve(tmp_path: Path, *methods: str, encoder: Any = None, **fields: Any) -> list[Solved]:
    registry = tiny_registry(encoder=encoder)
    with problem_of(config(**fields), tmp_path, registry) as problem:
        return [problem.solve(method) for method in methods]


def groups(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of which one tells the disease and one, louder, the group that it goes with."""
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
    before, after = solved.answer.notes["confidence_of_biased_head"]
    assert after < before - 0.02
    optimize = solved.answer.ledger["optimize"]
    assert optimize["backward"] == 10 * TRAIN
    assert optimize["queries"] == 10 * TRAIN * 3 + TRAIN


def test_biasadv_refuses_an_encoder_without_gradients(tmp_path: Path) -> None:
    class Closed(TinyEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.spec = EncoderSpec("closed", (1, 8, 8), 6, False, True, "closed", 50)

    with pytest.raises(ConfigError, match="'closed' gives none"):
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
        assert turned.answer.ledger["setup"]["queries"] == TRAIN
        for name, words in (
            ("test_methods:wrong_shape", "one value in"),
            ("test_methods:TRAIN", "no function"),
            ("nowhere:draw", "importable"),
            ("draw", "importable"),
        ):
            with pytest.raises(ConfigError, match=words):
                problem.solve("sketch", {"sketcher": name})


def test_erm_is_the_first_row_of_a_run_and_dne_its_last(tmp_path: Path) -> None:
    erm, dne = solve(tmp_path, "erm", "dne:adam")
    stored = measure(tmp_path / dne.answer.notes["run"])
    assert stored.resamples is not None
    for row, solved in ((0, erm), (-1, dne)):
        for name in ("eo_n", "eo_p", "accuracy"):
            assert np.array_equal(
                solved.metrics()[name], np.abs(stored.resamples.metrics[name][row])
            )
    assert erm.answer.ledger["setup"]["queries"] == TRAIN
    assert erm.answer.ledger["score"]["queries"] == TEST
    assert dne.answer.ledger["optimize"]["queries"] == 200 - 200 % 30


def test_answers_are_kept_and_embeddings_shared_but_booked(tmp_path: Path) -> None:
    encoder = TinyEncoder()
    methods = ("erm", "group-dro", "batch-sampling")
    first = solve(tmp_path, *methods, encoder=lambda request: encoder)
    assert sum(encoder.calls) == TRAIN + TEST
    for solved in first:
        assert solved.answer.ledger["setup"]["queries"] == TRAIN
        assert solved.answer.ledger["setup"]["requests"] == 3
    again = solve(tmp_path, *methods, encoder=lambda request: encoder)
    assert sum(encoder.calls) == TRAIN + TEST
    assert [each.answer for each in again] == [each.answer for each in first]
    solve(tmp_path, "erm", encoder=lambda request: encoder, budget=300)
    assert sum(encoder.calls) == TRAIN + TEST  # a budget is nothing to a method that has none


def test_an_encoder_is_loaded_once_for_many_problems(tmp_path: Path) -> None:
    made: list[TinyEncoder] = []

    def make(request: Any) -> TinyEncoder:
        made.append(TinyEncoder())
        return made[-1]

    with Workshop(tiny_registry(encoder=make), Silence()) as workshop:
        for seed in range(2):
            problem = Problem(config(seed=seed), tmp_path, workshop)
            problem.solve("erm")
            problem.solve("biasadv")
    assert len(made) == 1


def test_an_answer_is_not_taken_for_that_of_another_optimizer_or_penalty(tmp_path: Path) -> None:
    def mine(default: float) -> Any:
        @dataclass(frozen=True)
        class Parameters:
            step: float = parameter(default, "step")

        class Mine(RandomSearch):
            def __init__(self, context: OptimizerContext, parameters: Parameters) -> None:
                super().__init__(context, RandomSearchParameters(step=parameters.step))

        Mine.__init__.__annotations__["parameters"] = Parameters
        return Mine

    found = []
    for step, penalty in ((0.01, 0.01), (0.3, 0.01), (0.3, 0.5)):
        registry = tiny_registry(optimizer=mine(step))
        with problem_of(config(penalty=penalty), tmp_path, registry) as problem:
            found.append(problem.solve("dne:mine").answer)
    assert len({each.notes["run"] for each in found}) == 3
    assert len({each.scores for each in found}) >= 2


def test_only_a_method_that_says_so_runs_an_optimizer(tmp_path: Path) -> None:
    class Sly:
        def __init__(self, context: MethodContext) -> None:
            self._context = context

        def solve(self) -> Any:
            return self._context.optimize("gezo")

    offers: dict[Any, Any] = dict(tiny_registry().offers)
    offers["methods"] = {"sly": Offer("sly", Plugin(Sly, "test"), "tests")}
    words = "must be registered with the argument 'optimizer'"
    with (
        problem_of(config(), tmp_path, Registry(offers)) as problem,
        pytest.raises(PluginError, match=words),
    ):
        problem.solve("sly")


def test_what_a_method_asks_is_booked_and_shared_arrays_cannot_be_spoilt(tmp_path: Path) -> None:
    class Asking:
        def __init__(self, context: MethodContext) -> None:
            self._context = context

        def solve(self) -> Any:
            context = self._context
            clean = context.embed_train()
            with pytest.raises(ValueError, match="read-only"):
                clean -= 1
            context.embed_train(context.train.pixels[::-1])
            context.embed(context.train.batch(slice(0, 7)))
            return context.answer(context.embed_test()[:, 0])

    offers: dict[Any, Any] = dict(tiny_registry().offers)
    offers["methods"] = {"asking": Offer("asking", Plugin(Asking, "test"), "tests")}
    with problem_of(config(), tmp_path, Registry(offers)) as problem:
        ledger = problem.solve("asking").answer.ledger
    assert ledger["setup"]["queries"] == TRAIN
    assert ledger["optimize"]["queries"] == TRAIN + 7
    assert ledger["score"]["queries"] == TEST


def test_a_damaged_answer_says_what_to_do(tmp_path: Path) -> None:
    solve(tmp_path, "erm")
    (path,) = (tmp_path / "methods").iterdir()
    path.write_text("{}")
    with pytest.raises(StoreError, match="delete it"):
        solve(tmp_path, "erm")


def test_a_noise_carried_home_is_its_own_row(tmp_path: Path) -> None:
    from zobench import store

    with problem_of(config(), tmp_path, tiny_registry()) as problem:
        own = problem.solve("dne:adam")
        folder = tmp_path / own.answer.notes["run"]
        noise = store.read_snapshot(folder, store.snapshot_queries(folder)[-1])[0].numpy()
        assert problem.carry(noise, "noise of spots").answer.scores == own.answer.scores
        with pytest.raises(ConfigError, match="4 x 4 pixels"):
            problem.carry(torch.zeros(4, 4).numpy(), "noise of nobody")


def test_a_wrong_method_or_parameter_is_named(tmp_path: Path) -> None:
    with problem_of(config(), tmp_path, tiny_registry()) as problem:
        with pytest.raises(ConfigError, match="did you mean 'sketch'"):
            problem.solve("sketsh")
        with pytest.raises(ConfigError, match="dne:<optimizer>"):
            problem.solve("dne")
        with pytest.raises(ConfigError, match="method"):
            problem.solve("group-dro", {"stepz": 3})
