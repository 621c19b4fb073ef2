"""What a run is scored on: the curve, the controls and the no-query baselines, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_resume import StopAfter
from tiny import SIZES, TinyDataset, run, tiny_registry

import zobench
from zobench.contracts.method import MethodContext, MethodResult
from zobench.errors import ConfigError, Interrupted, PluginError
from zobench.measures.recovery import RECOVERY
from zobench.problem.images import load_images
from zobench.problem.subset import nested_subset
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.runs.score_plan import WHOLE, most_images, score_plan
from zobench.runs.verify import verify_run

IMAGES = 120 + 160
BOUND = 40
"""A subset has at least one patient of each stratum, so it may have a few images more."""


def results(run: StoredRun) -> Any:
    assert run.results is not None
    return run.results


def many_edits(tmp_path: Path, **fields: Any) -> StoredRun:
    """A run whose recommended edit changes at each of its asks."""
    overrides = {**SIZES, "optimizer": {"pairs": 1}}
    return run(tmp_path, optimizer="zo-sgd", overrides=overrides, snapshots=25, **fields)


def test_the_curve_has_all_snapshots_at_no_more_than_the_price_of_five_edits(
    tmp_path: Path,
) -> None:
    found = many_edits(tmp_path, controls="none")
    stored = results(found).stored
    edits = len(set(stored.equal.values()))
    assert edits > WHOLE
    assert stored.curve is not None
    assert len(results(found).queries) == len(found.snapshots) == edits
    assert found.ledger["score"]["forward"] <= 160 + WHOLE * IMAGES + BOUND
    assert [each.queries for each in results(found).points[1:]] == found.snapshots
    assert all(len(each.score) == len(stored.curve.test) for each in results(found).points)
    assert [len(each.score) for each in stored.edits] == [160] * len(stored.edits)
    assert found.scores[-1].queries == found.snapshots[-1]


def test_with_five_edits_or_fewer_every_image_is_scored(tmp_path: Path) -> None:
    found = run(tmp_path, controls="none")
    assert results(found).stored.curve is None
    assert all(len(each.score) == 160 for each in results(found).points)


def test_the_last_point_of_the_curve_is_the_last_edit_on_the_subset(tmp_path: Path) -> None:
    found = many_edits(tmp_path)
    stored = results(found).stored
    assert stored.curve is not None
    rows = list(stored.curve.test)
    scorer = np.asarray(stored.edits[-1].score)[rows]
    assert np.corrcoef(scorer, stored.curve.edits[-1].score)[0, 1] > 0.5  # other heads, same images
    labels = stored.test.label[rows], stored.test.sensitive[rows]
    cells = np.bincount(2 * labels[0] + labels[1], minlength=4)
    assert cells.min() == cells.max()  # as balanced as the test set


def test_a_stopped_scoring_goes_on_and_ends_alike(tmp_path: Path) -> None:
    whole = many_edits(tmp_path / "whole", controls="all")
    with pytest.raises(Interrupted):
        many_edits(tmp_path / "stopped", controls="all", listener=StopScoring(9))
    (folder,) = (tmp_path / "stopped").iterdir()
    partial = StoredRun(folder)
    assert 0 < partial.ledger["score"]["forward"] < whole.ledger["score"]["forward"]
    ended = zobench.resume(folder, registry=tiny_registry())
    assert ended.as_dict() | SAME == whole.as_dict() | SAME
    assert ended.ledger == whole.ledger


SAME = {"run_id": "", "run_dir": "", "wall_seconds": 0, "encoder_seconds": 0}


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


def test_beyond_placebo_is_the_paired_difference_of_recoveries(tmp_path: Path) -> None:
    found = results(many_edits(tmp_path, controls="all"))
    row = found._rows["control placebo"]
    difference = found.values(RECOVERY) - found.resamples.recovery[row]
    assert np.array_equal(difference, found.beyond_placebo_values)
    assert found.beyond_placebo.value == pytest.approx(float(difference[0]))
    assert set(found.curve_controls()) == {"placebo", "negative"}
    for rows in found.curve_controls().values():
        assert [each["queries"] for each in rows] == list(found.queries)


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
    assert len(found["curve"]) == len(results(many_edits(tmp_path)).points)
    for row in found["scores"]:
        assert (row["recovery"]["value"] == 0) == bool(row["why_zero"])
        assert row["ssim"] <= 1.0


def test_a_recovery_of_nought_says_why(tmp_path: Path) -> None:
    found = many_edits(tmp_path)
    worse = found.config.changed(tolerance=0.0)
    vars(found)["manifest"] = found.manifest.changed(config=worse)
    last = found.scores[-1]
    if last.accuracy_change.value < 0:
        assert last.recovery.value == 0
        assert f"accuracy fell by {-last.accuracy_change.value:.1f} points" in last.why_zero
    assert found.scores[0].why_zero == "ERM is the reference"


def test_baselines_cost_no_query_and_none_can_be_asked_for(tmp_path: Path) -> None:
    found = run(tmp_path, baselines="")
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


class Silent(Liar):
    def solve(self) -> MethodResult:
        return self._context.result(np.full(3, np.nan))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Liar, "method 'mine' declares needs_queries = False, but sends images"),
        (Silent, r"method 'mine': solve\(\) gave scores of shape \(3,\); it must give 160 finite"),
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


def test_a_subset_is_nested_balanced_and_whole_patients() -> None:
    images = load_images(TinyDataset(), np.arange(480))
    small, large = (
        set(nested_subset(images, share, np.random.default_rng(3)).tolist()) for share in (0.1, 0.4)
    )
    assert small < large
    for rows in (small, large):
        patients = images.patient[sorted(rows)]
        assert all(set(np.flatnonzero(images.patient == each)) <= rows for each in patients)
        cells = np.bincount(2 * images.label[sorted(rows)] + images.sensitive[sorted(rows)])
        assert cells.min() == cells.max()
    everything = nested_subset(images, 1.0, np.random.default_rng(0))
    assert np.array_equal(everything, np.arange(480))


def contents(*edits: int) -> dict[int, bytes]:
    return {10 * (place + 1): bytes([edit]) for place, edit in enumerate(edits)}


def test_equal_edits_are_embedded_once_and_the_zero_edit_never() -> None:
    plan = score_plan(contents(0, 1, 1, 0, 2), bytes([0]))
    assert plan.edits == {10: 0, 20: 20, 30: 20, 40: 0, 50: 50}
    assert (plan.distinct, plan.last, plan.share) == ([20, 50], 50, 1.0)
    assert score_plan({}, b"").last == 0
    many = score_plan(contents(*range(25)), bytes([0]))
    assert many.share == pytest.approx(3 / 23)


@pytest.mark.parametrize("controls", ["none", "last", "all"])
@pytest.mark.parametrize("snapshots", [1, 5, 25])
def test_the_money_kept_for_scoring_is_enough(
    tmp_path: Path, controls: str, snapshots: int
) -> None:
    overrides = {**SIZES, "optimizer": {"pairs": 1}}
    found = run(
        tmp_path, optimizer="zo-sgd", overrides=overrides, snapshots=snapshots, controls=controls
    )
    count = len(found.snapshots)
    assert found.ledger["score"]["forward"] <= most_images(found.config, count, 120, 160)
