"""What a run is scored on: the curve, the controls and the no-query baselines, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SIZES, StopAfter, run, tiny_registry

import zobench
from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.contracts.method import MethodContext, MethodResult
from zobench.errors import ConfigError, Interrupted, PluginError
from zobench.records.curve_json import curve_controls, curve_rows
from zobench.records.runtime import known_until
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.runs.score_plan import most_images, score_plan
from zobench.runs.verify import verify_run

IMAGES = 120 + 160
NOTHING = (0.0, 0.0)


def results(run: StoredRun) -> Any:
    assert run.results is not None
    return run.results


def many_edits(tmp_path: Path, **fields: Any) -> StoredRun:
    """A run whose recommended edit changes at each of its asks."""
    overrides = {**SIZES, "optimizer": {"pairs": 1}}
    return run(tmp_path, optimizer="zo-sgd", overrides=overrides, snapshots=25, **fields)


@pytest.mark.parametrize("scored", [1, 5, 25])
def test_every_snapshot_is_a_point_of_the_curve_and_a_few_edits_are_embedded_once(
    tmp_path: Path, scored: int
) -> None:
    found = many_edits(tmp_path, controls="none", scored=scored)
    distinct = len(set(results(found).stored.equal.values()))
    assert distinct > 5
    points = results(found).points
    assert [queries for queries, _ in points] == [0, *found.snapshots]
    assert points[-1][1] is not None
    assert len({edit.score for _, edit in points[1:] if edit is not None}) <= scored
    assert found.ledger["score"]["forward"] == 160 + min(scored, distinct) * IMAGES
    assert found.scores[-1].queries == found.snapshots[-1]
    assert len(found.scores) == 1 + min(scored, distinct)


def test_a_scored_edit_has_the_same_row_whatever_else_is_scored(tmp_path: Path) -> None:
    few = results(many_edits(tmp_path, scored=5))
    everything = {each.queries: each for each in results(many_edits(tmp_path, scored=25)).scores}
    assert len(few.scores) == 6
    assert all(each == everything[each.queries] for each in few.scores)
    rows = {each["queries"]: each for each in curve_rows(few)}
    assert all(rows[each.queries]["recovery"] == each.recovery.as_dict() for each in few.scores)
    for (queries, edit), row in zip(few.points, rows.values(), strict=True):
        assert (row["queries"], row["scored"]) == (queries, edit is not None)
        assert row["objective"] == (None if edit is None else edit.objective)


@pytest.mark.parametrize("scores", [1, 2, 4, 9])  # ERM, the last edit, edits between, controls
def test_a_stopped_scoring_goes_on_and_ends_alike(tmp_path: Path, scores: int) -> None:
    whole = many_edits(tmp_path / "whole", controls="all")
    with pytest.raises(Interrupted):
        many_edits(tmp_path / "stopped", controls="all", listener=StopScoring(scores))
    (folder,) = (tmp_path / "stopped").iterdir()
    partial = StoredRun(folder)
    assert 0 < partial.ledger["score"]["forward"] < whole.ledger["score"]["forward"]
    if scores <= 5:  # nothing is said of snapshots before enough are scored
        assert known_until(partial) < partial.spent
    progress = Progress()
    ended = zobench.resume(folder, registry=tiny_registry(), listener=progress)
    assert progress.done == progress.total == 160 + 15 * IMAGES
    assert ended.as_dict() | SAME == whole.as_dict() | SAME
    assert ended.ledger == whole.ledger


def test_what_ended_the_optimizer_stays_so_when_scoring_is_resumed(tmp_path: Path) -> None:
    """Time that scoring takes, or a lower limit, does not end an optimizer that its budget ended."""
    with pytest.raises(Interrupted):
        many_edits(tmp_path, listener=StopScoring(1))
    (folder,) = tmp_path.iterdir()
    ended = zobench.resume(folder, registry=tiny_registry(), max_time=1e-6)
    assert (ended.manifest.ended_by, ended.manifest.cut_by) == ("budget", "")


def test_a_larger_limit_goes_on_with_a_run_that_was_stopped_in_scoring(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        many_edits(tmp_path, listener=StopScoring(1), max_time=1e-6)
    (folder,) = tmp_path.iterdir()
    longer = zobench.resume(folder, registry=tiny_registry(), max_time=0)
    assert longer.manifest.ended_by == "budget"
    assert longer.spent > StoredRun(folder).trace[0]["queries"]


SAME = {"run_id": "", "run_dir": "", "wall_seconds": 0, "encoder_seconds": 0}


class Progress(Silence):
    """Remembers the progress of the last phase."""

    done = total = 0

    def phase(self, name: str, total: int) -> None:
        self.total = total

    def update(self, done: int, **figures: float) -> None:
        self.done = done


class StopScoring(StopAfter):
    """Stops the run after a number of scores."""

    def __init__(self, scores: int) -> None:
        super().__init__(10**9)
        self._left = scores

    def phase(self, name: str, total: int) -> None:
        super().phase(name, total)
        self._scoring = name == "score"

    def update(self, done: int, **figures: float) -> None:
        if getattr(self, "_scoring", False) and "recovery" in figures:
            self._left -= 1
            if not self._left:
                self._queries = 0
                self._phase = "optimize"
        super().update(done, **figures)


@pytest.mark.parametrize(("controls", "edits"), [("none", 0), ("last", 2)])
def test_the_controls_of_the_last_edit_cost_two_edits_and_can_be_switched_off(
    tmp_path: Path, controls: str, edits: int
) -> None:
    without = many_edits(tmp_path, controls="none").ledger["score"]["forward"]
    found = many_edits(tmp_path, controls=controls)
    assert found.ledger["score"]["forward"] - without == edits * IMAGES
    assert sorted(results(found).controls) == ["negative", "placebo"][:edits]
    assert (results(found).beyond_placebo is None) == (controls == "none")
    assert found.ledger["optimize"] == many_edits(tmp_path).ledger["optimize"]


def test_controls_of_all_snapshots_are_rows_of_the_curve(tmp_path: Path) -> None:
    found = results(many_edits(tmp_path, controls="all"))
    assert set(curve_controls(found)) == {"placebo", "negative"}
    for rows in curve_controls(found).values():
        scored = [queries for queries, edit in found.points[1:] if edit is not None]
        assert [each["queries"] for each in rows] == scored


def test_json_holds_level_objective_baselines_controls_and_curve(tmp_path: Path) -> None:
    found = json.loads(json.dumps(many_edits(tmp_path).as_dict(), allow_nan=False))
    assert (found["feedback"], found["objective_name"]) == ("value", "dne")
    assert set(found["baselines"]) == {"reweighing", "leace-cells", "balanced-subset"}
    for row in found["baselines"].values():
        assert row["queries"] == 0
        assert row["fpq"] == row["recovery"]
        assert set(row["eo_n"]) == {"value", "low", "high"}
    assert set(found["controls"]) == {"placebo", "negative", "beyond_placebo"}
    assert found["controls"]["placebo"]["norm"] == pytest.approx(found["scores"][-1]["norm"], 1e-5)
    assert found["with_reweighing"]["queries"] == found["scores"][-1]["queries"]
    assert len(found["curve"]) == 1 + len(results(many_edits(tmp_path)).queries)
    for row in found["scores"]:
        assert (row["recovery"]["value"] == 0) == bool(row["why_zero"])
        assert row["ssim"] <= 1.0


@pytest.mark.parametrize("nothing", ["", "none"])
def test_baselines_cost_no_query_and_none_can_be_asked_for(tmp_path: Path, nothing: str) -> None:
    found = run(tmp_path, baselines=nothing)
    assert results(found).baselines == {}
    assert found.as_dict()["with_reweighing"] is None
    names = [
        *("erm", "reweighing", "leace", "leace-cells", "inlp", "balanced-subset"),
        *("group-thresholds", "group-dro", "batch-sampling"),
    ]
    other = run(tmp_path, baselines=", ".join(names))
    assert other.ledger == found.ledger
    table = results(other).baselines
    assert list(table) == names
    assert table["erm"].metrics == other.scores[0].metrics
    assert all(each.queries == 0 for each in table.values())


@pytest.mark.parametrize(
    ("baselines", "message"),
    [
        ("nobody", "method 'nobody' is not known"),
        ("sketch", "baselines has 'sketch', but this method sends images .* reweighing"),
        ("dne:gezo", "baselines has 'dne:gezo', but this method sends images"),
    ],
)
def test_a_method_that_needs_queries_is_no_baseline(
    tmp_path: Path, baselines: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, baselines=baselines)
    assert not list(tmp_path.iterdir())


class Liar:
    needs_queries = False

    def __init__(self, context: MethodContext) -> None:
        self._context = context

    def solve(self) -> MethodResult:
        self._context.embed(torch.zeros(1, 1, 8, 8))
        raise AssertionError


class Short(Liar):
    def solve(self) -> MethodResult:
        return self._context.result(np.zeros(3))


class Square(Liar):
    def solve(self) -> MethodResult:
        return self._context.result(np.zeros((160, 1)))


class Silent(Liar):
    def solve(self) -> MethodResult:
        return self._context.result(np.full(160, np.nan))


class Bare(Liar):
    def solve(self) -> MethodResult:
        return np.zeros(160)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Liar, "method 'mine' declares needs_queries = False, but sends images"),
        (Short, r"method 'mine': solve\(\) gave scores of shape \(3,\); it must give 160 finite"),
        (Square, r"solve\(\) gave scores of shape \(160, 1\); .* zobench plugin check mine"),
        (Silent, r"solve\(\) gave scores that are NaN or infinite; it must give 160 finite"),
        (Bare, r"solve\(\) gave ndarray and no MethodResult; it must give 160 finite"),
    ],
)
def test_a_baseline_that_breaks_its_word_is_named(
    tmp_path: Path, method: type, message: str
) -> None:
    offers = dict(tiny_registry().offers)
    offers["methods"] = {"mine": Offer("mine", Plugin(method, "test"), "tests")}
    with pytest.raises(PluginError, match=message):
        run(tmp_path, Registry(offers), baselines="mine")


def test_an_optimizer_that_knows_the_embeddings_is_recorded_replayed_verified_and_resumed(
    tmp_path: Path,
) -> None:
    fields: dict[str, Any] = {
        "optimizer": "scattered-probes",
        "overrides": {**SIZES, "optimizer": {"probes": 20, "side": 4}},
        "objective": "adversary",
    }
    fields["overrides"]["objective"] = {"every": 2}
    whole = run(tmp_path / "whole", **fields)
    assert whole.feedback == "embeddings"
    assert whole.label == "scattered-probes probes=20 side=4 on adversary every=2"
    assert whole.ledger["optimize"]["queries"] == 400
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", listener=StopAfter(200), **fields)
    (folder,) = (tmp_path / "stopped").iterdir()
    ended = zobench.resume(folder, registry=tiny_registry())
    for name in ("trace.jsonl", "edit.npy"):
        assert (folder / name).read_bytes() == (whole.run_dir / name).read_bytes()
    assert verify_run(ended.run_dir, 200, registry=tiny_registry()).difference == 0


@pytest.mark.parametrize("objective", ["dne", "fisher", "mmd", "adversary"])
@pytest.mark.parametrize("optimizer", ["kalman", "adam", "scattered-probes"])
def test_every_level_runs_under_every_objective_at_the_same_price(
    tmp_path: Path, objective: str, optimizer: str
) -> None:
    found = run(tmp_path, optimizer=optimizer, objective=objective, overrides=SIZES, batch_size=20)
    plain = run(tmp_path, optimizer=optimizer, overrides=SIZES, batch_size=20)
    assert found.ledger["optimize"] == plain.ledger["optimize"]
    assert found.scores[0].metrics == plain.scores[0].metrics
    assert found.config.objective == objective


def contents(*edits: int) -> dict[int, bytes]:
    return {10 * (place + 1): bytes([edit]) for place, edit in enumerate(edits)}


def test_equal_edits_are_embedded_once_and_the_zero_edit_never() -> None:
    config = RunConfig(batch_size=10, scored=5)
    plan = score_plan(contents(0, 1, 1, 0, 2), bytes([0]), config)
    assert plan.edits == {10: 0, 20: 20, 30: 20, 40: 0, 50: 50}
    assert (plan.distinct, plan.last, plan.count) == ([20, 50], 50, 2)
    assert plan.controlled("none", [0, 20, 50]) == []
    assert plan.controlled("last", [0, 20, 50]) == [50]
    assert plan.controlled("all", [0, 20, 50]) == [50, 20]
    assert score_plan({}, b"", config).controlled("all", [0]) == []
    assert score_plan(contents(1, 0), bytes([0]), config).controlled("all", [0, 10]) == []


def test_the_last_edit_is_scored_first_then_where_recovery_changes_most() -> None:
    plan = score_plan(contents(1, 2, 3, 4, 5, 6, 6, 7), bytes([0]), RunConfig(batch_size=10))
    known = {0: (0.0, 0.0)}
    order = []
    while (queries := plan.following(known)) is not None:
        order.append(queries)
        known[queries] = (0.0, 0.9 if queries >= 50 else 0.0)  # a jump between 40 and 50
    assert order == [80, 20, 40, 60, 50]
    assert plan.count == 5


def test_a_jump_of_the_recovery_alone_is_looked_for_too() -> None:
    plan = score_plan(contents(*range(1, 9)), bytes([0]), RunConfig(batch_size=10, scored=5))
    known = {0: NOTHING, 80: (0.0, 0.5)}  # the last one is too costly
    known |= dict.fromkeys([10, 20, 40], (0.5, 0.5))
    assert plan.following(known) == 60
    del known[40]
    assert plan.following(known) == 40


def test_a_plan_without_an_edit_scores_nothing_and_one_that_returns_to_none_scores_the_rest() -> (
    None
):
    config = RunConfig(batch_size=10)
    assert score_plan({}, b"", config).following({0: NOTHING}) is None
    assert score_plan(contents(0, 0), bytes([0]), config).following({0: NOTHING}) is None
    back = score_plan(contents(1, 2, 0), bytes([0]), config)
    assert (back.last, back.following({0: NOTHING})) == (0, 10)
    assert back.following({0: NOTHING, 10: (0.2, 0.2)}) == 20
    assert back.following({0: NOTHING, 10: (0.2, 0.2), 20: (0.0, 0.1)}) is None


@pytest.mark.parametrize("controls", ["none", "last", "all"])
@pytest.mark.parametrize(("snapshots", "scored"), [(1, 5), (5, 5), (25, 1), (25, 5), (25, 25)])
def test_the_money_kept_for_scoring_is_what_scoring_sends(
    tmp_path: Path, controls: str, snapshots: int, scored: int
) -> None:
    overrides = {**SIZES, "optimizer": {"pairs": 1}}
    found = run(
        tmp_path,
        optimizer="zo-sgd",
        overrides=overrides,
        snapshots=snapshots,
        scored=scored,
        controls=controls,
    )
    count = len(found.snapshots)  # all different
    assert found.ledger["score"]["forward"] == most_images(found.config, count, 120, 160)
