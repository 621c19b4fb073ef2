"""Stored answers of methods: their cost, when they are reused, and when they are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import TEST, TRAIN, config, problem_of, solve
from tiny import TinyEncoder, tiny_registry
from zobench_plugins.optimizers.random_search import RandomSearch, RandomSearchParameters
from zobench_plugins.paper.problem import Problem

from zobench.billing.account import Account
from zobench.contracts.listener import Silence
from zobench.contracts.method import MethodContext
from zobench.contracts.optimizer import OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, ModelChanged, PluginError
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.runs.shared_parts import SharedParts


def test_erm_is_the_first_row_of_a_run_and_dne_its_last(tmp_path: Path) -> None:
    erm, dne = solve(tmp_path, "erm", "dne:adam")
    stored = StoredRun(tmp_path / dne.result.notes["run"])
    for row, solved in ((0, erm), (-1, dne)):
        for metric in stored.metrics:
            expected = stored.values(metric, row=row)
            assert np.array_equal(solved.values(metric), expected, equal_nan=True)
    assert erm.result.ledger["setup"]["queries"] == TRAIN
    assert erm.result.ledger["score"]["queries"] == TEST
    assert dne.result.ledger["optimize"]["queries"] == 200 - 200 % 30


def test_answers_are_kept_and_embeddings_shared_but_booked(tmp_path: Path) -> None:
    encoder = TinyEncoder()
    methods = ("erm", "group-dro", "batch-sampling")
    first = solve(tmp_path, *methods, encoder=lambda request: encoder)
    assert sum(encoder.calls) == TRAIN + TEST
    for solved in first:
        assert solved.result.ledger["setup"]["queries"] == TRAIN
        assert solved.result.ledger["setup"]["requests"] == 3
    again = solve(tmp_path, *methods, encoder=lambda request: encoder)
    assert sum(encoder.calls) == TRAIN + TEST
    assert [each.result for each in again] == [each.result for each in first]
    solve(tmp_path, "erm", encoder=lambda request: encoder, budget=300)
    assert sum(encoder.calls) == TRAIN + TEST  # erm has no budget, so its answer is reused


def test_an_encoder_is_loaded_once_for_many_problems(tmp_path: Path) -> None:
    made: list[TinyEncoder] = []

    def make(request: Any) -> TinyEncoder:
        made.append(TinyEncoder())
        return made[-1]

    with SharedParts(tiny_registry(encoder=make), Silence()) as workshop:
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
            found.append(problem.solve("dne:mine").result)
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
        problem_of(config().changed(baselines=""), tmp_path, Registry(offers)) as problem,
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
            return context.result(context.embed_test()[:, 0])

    offers: dict[Any, Any] = dict(tiny_registry().offers)
    offers["methods"] = {"asking": Offer("asking", Plugin(Asking, "test"), "tests")}
    with problem_of(config().changed(baselines=""), tmp_path, Registry(offers)) as problem:
        ledger = problem.solve("asking").result.ledger
    assert ledger["setup"]["queries"] == TRAIN
    assert ledger["optimize"]["queries"] == TRAIN + 7
    assert ledger["score"]["queries"] == TEST


def test_a_damaged_result_is_computed_anew(tmp_path: Path) -> None:
    (first,) = solve(tmp_path, "erm")
    (path,) = (tmp_path / "methods").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0.", b"1.", 1))
    (again,) = solve(tmp_path, "erm")
    assert again.result.scores == first.result.scores
    assert path.read_bytes() == whole


def test_a_noise_carried_home_is_its_own_row(tmp_path: Path) -> None:

    with problem_of(config(), tmp_path, tiny_registry()) as problem:
        own = problem.solve("dne:adam")
        folder = tmp_path / own.result.notes["run"]
        run = StoredRun(folder)
        noise = run.edit_after(run.snapshots[-1])[0].numpy()
        assert problem.carry(noise, "noise of spots").result.scores == own.result.scores
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


def test_a_method_that_changes_the_shared_images_is_refused(tmp_path: Path) -> None:
    class Vandal:
        needs_queries = False

        def __init__(self, context: MethodContext) -> None:
            self._context = context

        def solve(self) -> Any:
            self._context.test_pixels[:] = 0
            self._context.embed_test()  # which the next method would be given
            return self._context.result(np.zeros(TEST))

    offer = Offer("vandal", Plugin(Vandal, "breaks things"), "dist-vandal")
    registry = tiny_registry()
    methods = {**registry.offers["methods"], "vandal": offer}
    registry = Registry({**registry.offers, "methods": methods})
    alone = solve(tmp_path / "alone", "erm", "sketch")
    with problem_of(config(), tmp_path / "both", registry) as problem:
        with pytest.raises(PluginError, match="'vandal' changed the images or labels"):
            problem.solve("vandal")
        for each in alone:
            assert problem.solve(each.method).result.scores == each.result.scores
    assert not list((tmp_path / "both").rglob("*vandal*"))


def test_the_result_of_a_service_that_has_changed_is_not_stored(tmp_path: Path) -> None:
    class Changing(TinyEncoder):
        account = Account()
        changed = True

        def open_account(self, account: Account) -> None: ...

        def checks(self, images: int) -> int:
            return 1

        def check(self) -> None:
            if self.changed:
                raise ModelChanged("it is another one")

    with pytest.raises(ModelChanged):
        solve(tmp_path, "erm", encoder=lambda request: Changing())
    assert not list(tmp_path.glob("methods/*"))
    Changing.changed = False
    solve(tmp_path, "erm", encoder=lambda request: Changing())
    assert len(list(tmp_path.glob("methods/*"))) == 1
