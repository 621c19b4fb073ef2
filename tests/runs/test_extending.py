"""Finished runs that go on with a larger budget."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from pretended import pretended
from tiny import SETTINGS, SIZES, run, tiny_registry

import zobench
from zobench.config import RunConfig
from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.run_status import RunStatus
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError, DamagedError
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.identity import identity
from zobench.records.run_folder import RunFolder
from zobench.records.stored_run import StoredRun
from zobench.runs.lifecycle import resume_run, start_run
from zobench.runs.replay import replay_run
from zobench.runs.verify import verify_run


def extend(found: StoredRun, budget: int) -> StoredRun:
    return resume_run(found.run_dir, registry=tiny_registry(), budget=budget)


@pytest.mark.parametrize(
    "optimizer",
    ["gezo", "random", "zo-adamm", "sep-cma", "adam", "margin-probes", "scattered-pairs"],
)
def test_an_extended_run_is_the_run_that_had_the_budget_from_the_start(
    tmp_path: Path, optimizer: str
) -> None:
    long = run(tmp_path / "long", optimizer=optimizer, overrides=SIZES, budget=1630)
    short = run(tmp_path / "short", optimizer=optimizer, overrides=SIZES, budget=410)
    before = short.scores
    found = extend(short, 1630)
    assert found.done
    assert found.config.budget == 1630
    assert found.manifest.extended == [{"queries": before[-1].queries, "budget": 410}]
    trace = layout.TRACE
    assert (found.run_dir / trace).read_bytes() == (long.run_dir / trace).read_bytes()
    assert np.array_equal(found.edit, long.edit)
    assert found.scores[-1] == long.scores[-1]
    stored, fresh = found.files.scores, long.files.scores
    assert stored is not None
    assert fresh is not None
    assert stored.combined == fresh.combined
    assert stored.controls == fresh.controls
    assert {each.queries for each in before} <= {each.queries for each in found.scores}
    assert found.ledger["optimize"] == long.ledger["optimize"]
    found.files.require_whole()
    again = extend(found, 2000)
    ends = [each["queries"] for each in again.manifest.extended]
    assert ends == [before[-1].queries, found.spent]


class Still(Stateful):
    """Recommends the same edit, however long it runs."""

    feedback: ClassVar[Feedback] = "value"
    paced: ClassVar[bool] = False
    remembered = ("asks",)

    def __init__(self, context: OptimizerContext) -> None:
        self.edit = torch.full(context.space.shape, 0.1)
        self.asks = 0

    def ask(self) -> Ask:
        return Ask(self.edit[None], np.array([self.asks]))

    def tell(self, ask: Ask, answer: Answer) -> None:
        self.asks += 1

    def recommend(self) -> torch.Tensor:
        return self.edit


def test_snapshots_of_an_edit_that_stays_the_same_are_on_the_curve_of_an_extended_run(
    tmp_path: Path,
) -> None:
    registry = tiny_registry(optimizer=Still)
    straight = run(tmp_path / "long", registry, optimizer="mine", overrides=SIZES, budget=800)
    short = run(tmp_path / "short", registry, optimizer="mine", overrides=SIZES)
    found = resume_run(short.run_dir, registry=registry, budget=800)
    assert found.results is not None
    assert straight.results is not None
    assert found.results.queries[-1] == straight.results.queries[-1] == 800
    assert found.scores[-1] == straight.scores[-1]
    assert found.scores[-1].queries == 800
    found.files.require_whole()


def test_no_suite_takes_an_extended_run_for_one_that_had_the_budget(tmp_path: Path) -> None:
    long = run(tmp_path / "long", overrides=SIZES, budget=800)
    found = extend(run(tmp_path / "short", overrides=SIZES), 800)
    assert found.config == long.config
    assert identity(found.manifest) != identity(long.manifest)


@pytest.mark.parametrize("optimizer", ["gezo", "adam", "probes"])
def test_an_extended_run_is_verified_and_replayed_with_each_of_its_budgets(
    tmp_path: Path, optimizer: str
) -> None:
    sizes = {**SIZES, **({"optimizer": {"singles": 96}} if optimizer == "probes" else {})}
    config = RunConfig(optimizer=optimizer, **{**SETTINGS, "overrides": sizes, "budget": 410})
    short = start_run(config, tmp_path, registry=tiny_registry(), record=True)
    asks = len(short.trace)
    found = extend(extend(short, 815), 1630)
    assert len(found.trace) > asks
    checked = verify_run(found.run_dir, found.spent, registry=tiny_registry())
    assert checked.holds
    assert checked.queries == found.spent
    assert checked.snapshots == len(found.snapshots)
    part = verify_run(found.run_dir, 500, registry=tiny_registry())
    assert part.holds
    assert 500 <= part.queries < found.spent
    replayed = replay_run(found.run_dir, registry=tiny_registry())
    assert replayed.same_edit
    assert replayed.queries == found.spent


def test_a_run_that_is_not_done_is_finished_before_it_is_extended(tmp_path: Path) -> None:
    found = run(tmp_path, overrides=SIZES)
    cut = found.manifest.changed(status=RunStatus.INTERRUPTED)
    RunFolder(found.run_dir).write_manifest(cut)
    with pytest.raises(
        ConfigError, match="is interrupted, and only a finished run can be extended"
    ):
        extend(found, 800)
    assert extend(found, 400).done  # its own budget is no other one


def test_a_run_in_a_suite_is_not_extended_in_place(tmp_path: Path) -> None:
    found = run(tmp_path, overrides=SIZES)
    named = tmp_path / f"gezo-{identity(found.manifest)[:10]}"
    shutil.move(found.run_dir, named)
    with pytest.raises(ConfigError, match="belongs to a suite"):
        resume_run(named, registry=tiny_registry(), budget=800)
    copy = shutil.copytree(named, tmp_path / "copy")
    assert resume_run(copy, registry=tiny_registry(), budget=800).spent == 800


def test_a_damaged_run_is_not_extended_and_keeps_what_it_has(tmp_path: Path) -> None:
    found = run(tmp_path, overrides=SIZES)
    snapshot = found.run_dir / layout.snapshot_name(found.snapshots[0])
    snapshot.write_bytes(snapshot.read_bytes()[:-8] + b"12345678")
    before = {path: path.read_bytes() for path in found.run_dir.rglob("*") if path.is_file()}
    with pytest.raises(DamagedError, match=re.escape(snapshot.name)):
        extend(found, 800)
    assert {path: path.read_bytes() for path in before} == before


def test_a_time_that_is_gone_already_extends_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, optimizer="random", overrides=SIZES, max_time=1e-6)
    with pytest.raises(ConfigError, match="scoring included"):
        resume_run(found.run_dir, registry=tiny_registry(), max_time=2e-6)
    longer = resume_run(found.run_dir, registry=tiny_registry(), max_time=0)
    assert longer.manifest.ended_by == "budget"


def test_a_suites_run_that_time_ended_goes_on_in_place_and_stays_the_suites(tmp_path: Path) -> None:
    found = run(tmp_path, optimizer="random", overrides=SIZES, max_time=1e-6)
    named = tmp_path / f"random-{identity(found.manifest)[:10]}"
    shutil.move(found.run_dir, named)
    whole = resume_run(named, registry=tiny_registry(), max_time=0)
    assert whole.manifest.ended_by == "budget"
    fresh = run(tmp_path / "fresh", optimizer="random", overrides=SIZES)
    assert identity(whole.manifest) == identity(found.manifest) == identity(fresh.manifest)
    assert np.array_equal(whole.edit, fresh.edit)


def test_the_copy_of_a_published_run_is_not_extended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    found = run(tmp_path, optimizer="random", overrides=SIZES, max_time=1e-6)
    copy = shutil.copytree(found.run_dir, tmp_path / "cache" / "urls" / "0" / "runs" / "one")
    with pytest.raises(ConfigError, match="is published"):
        resume_run(copy, registry=tiny_registry(), max_time=0)


def test_the_curve_of_a_half_scored_extended_run_ends_where_its_scores_do(tmp_path: Path) -> None:
    short = run(tmp_path, optimizer="random", overrides=SIZES, budget=200, snapshots=4, scored=2)
    found = extend(short, 800)
    assert len(found.scores) > 3
    half = pretended(found, edits=3)
    assert found.results is not None
    assert half.results is not None
    assert half.results.queries == found.results.queries[: len(half.results.queries)]
    assert len(half.results.queries) < len(found.results.queries)


def test_a_published_run_is_not_extended_in_place(tmp_path: Path) -> None:
    found = run(tmp_path, overrides=SIZES)
    place = Location(found.run_dir, known_as="s3://bucket/runs/one")
    with pytest.raises(ConfigError, match="s3://bucket/runs/one is published"):
        resume_run(place, registry=tiny_registry(), budget=800)


@pytest.mark.parametrize("optimizer", ["kalman", "spsa", "patch-search", "probes", "best-of:pgd"])
def test_an_optimizer_that_spread_its_steps_over_the_budget_cannot_go_on(
    tmp_path: Path, optimizer: str
) -> None:
    found = run(tmp_path, optimizer=optimizer, overrides=SIZES)
    with pytest.raises(
        ConfigError, match=f"with which optimizer '{optimizer}' may have taken other steps"
    ):
        extend(found, 20_000)
    assert StoredRun(found.run_dir).done


def test_a_budget_that_is_no_larger_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path, overrides=SIZES)
    with pytest.raises(ConfigError, match="has 400 already; give a larger one"):
        extend(found, 400)


def test_a_run_without_its_last_state_cannot_go_on(tmp_path: Path) -> None:
    found = run(tmp_path, overrides=SIZES)
    (found.run_dir / layout.CHECKPOINT).unlink()
    with pytest.raises(ConfigError, match="last state of its optimizer is not stored"):
        extend(found, 800)
    assert zobench.resume(found.run_dir, registry=tiny_registry()).done


def test_a_run_that_until_ended_says_so(tmp_path: Path) -> None:
    sizes = {**SIZES, "optimizer": {"lr": 0.05}}  # its recovery rises to 0.3
    found = run(
        tmp_path, optimizer="adam", overrides=sizes, budget=1200, seed=2, tolerance=20.0, until=0.05
    )
    assert found.manifest.ended_by == "until"
    with pytest.raises(ConfigError, match="start a new run without --until"):
        extend(found, 2400)


def test_a_finished_run_without_its_checkpoint_can_be_read_and_not_extended(tmp_path: Path) -> None:
    found = run(tmp_path, optimizer="random", overrides=SIZES)
    shutil.rmtree(found.run_dir / "checkpoint")
    StoredRun(found.run_dir).files.require_whole()
    with pytest.raises(ConfigError, match="the last state of its optimizer is not stored"):
        resume_run(found.run_dir, registry=tiny_registry(), budget=1000)
    (found.run_dir / layout.TRACE).unlink()
    with pytest.raises(DamagedError):
        StoredRun(found.run_dir).files.require_whole()
