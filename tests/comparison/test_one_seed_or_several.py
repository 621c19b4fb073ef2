"""Which resamples a statistic takes: those of one run, or those of a mean over seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scored_by_hand
from pretended import pretended
from tiny import SIZES, run

from zobench.comparison.all_pairs import rank_all
from zobench.comparison.baseline_runs import BaselineRun
from zobench.comparison.gate_rows import baseline_of
from zobench.comparison.pairs import compare_runs
from zobench.measures.interval import interval
from zobench.measures.recovery import FPQ, RECOVERY
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry
from zobench.reporting.content import collect

SEEDS = (0, 1)


def scored(run: StoredRun, *edits: scored_by_hand.EditScore) -> StoredRun:
    """The same run with scores whose gap is nearly gone, so that the two kinds of resamples differ."""
    found = scored_by_hand.results(*edits, baselines={"reweighing": scored_by_hand.FAIR.score})
    other = pretended(run, config={"tolerance": 20.0, "controls": "none"})
    vars(other.files)["scores"] = found.stored
    assert other.results is not None
    one, many = other.results.fpq, other.results.for_means.fpq
    assert one[0] == many[0]
    assert not np.array_equal(one, many)
    return other


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> list[list[StoredRun]]:
    """Runs of two optimizers on two seeds."""
    out = tmp_path_factory.mktemp("runs")
    near = scored_by_hand.scored(100, 1.0, 0.25, 0.35, 0.65, 0.75)  # gap 10
    edits = {"random": near, "spsa": replace(scored_by_hand.FAIR, queries=100)}
    last = {name: replace(edit, queries=400) for name, edit in edits.items()}
    return [
        [
            scored(run(out, optimizer=name, seed=seed, overrides=SIZES), edits[name], last[name])
            for seed in SEEDS
        ]
        for name in edits
    ]


def of_one(run: StoredRun) -> tuple[float, float]:
    """The interval of one run's FPQ."""
    assert run.fpq is not None
    return run.fpq.low, run.fpq.high


def of_two(runs: list[StoredRun]) -> tuple[float, float]:
    """The interval of the mean over both seeds."""
    values = [each.results.for_means.fpq for each in runs if each.results is not None]
    found = interval(values, FPQ)
    return found.low, found.high


def test_comparisons_and_rankings(sides: list[list[StoredRun]]) -> None:
    for taken, wanted in (
        ([each[:1] for each in sides], [of_one(each[0]) for each in sides]),
        (sides, [of_two(each) for each in sides]),
    ):
        found = compare_runs(*taken).metrics[FPQ.name]
        assert [(each.low, each.high) for each in (found.a, found.b)] == wanted
        (level,) = rank_all([run for side in taken for run in side])
        ranked = [level.fpq[side[0].label] for side in taken]
        assert [(each.low, each.high) for each in ranked] == wanted
        gains = [
            two.results.for_means.fpq - one.results.for_means.fpq
            for one, two in zip(*taken, strict=True)
            if one.results is not None and two.results is not None
        ]
        assert found.gain == interval(gains)


def test_rows_and_curves_of_the_report(sides: list[list[StoredRun]]) -> None:
    for taken in ([each[:1] for each in sides], sides):
        content = collect([run for side in taken for run in side], (0.5,))
        several = len(taken[0]) > 1
        rows = {row["optimizer"]: row for row in content.rows}
        for side in taken:
            row = rows[side[0].label]
            wanted = of_two(side) if several else of_one(side[0])
            assert (row["fpq"]["low"], row["fpq"]["high"]) == wanted
            results = [run.results for run in side if run.results is not None]
            chosen = [each.for_means if several else each for each in results]
            last = [each.resamples.recoveries.gap_recovery[2] for each in chosen]
            assert row["gap_recovery"] == interval(last, RECOVERY).as_dict()
            (curves,) = content.curves.values()
            ends = interval([each.curve.recovery[-1] for each in chosen], RECOVERY)
            line = curves["lines"][side[0].label]
            assert line["high"][-1] == pytest.approx(ends.high, abs=1e-3)
            assert line["low"][-1] == pytest.approx(ends.low, abs=1e-3)
        (baselines,) = content.baselines.values()
        results = [run.results for run in taken[0] if run.results is not None]
        chosen = [each.for_means if several else each for each in results]
        values = [each.baseline_values("reweighing", RECOVERY) for each in chosen]
        assert baselines["reweighing"]["recovery"] == interval(values, RECOVERY).as_dict()


def test_a_gate_has_the_errors_of_each_run(sides: list[list[StoredRun]]) -> None:
    (row,) = baseline_of(sides[1], {"fpq": 0.02}).rows
    for each in sides[1]:
        assert each.results is not None
        error = each.results.fpq[1:].std()
        assert row.metrics["fpq"].errors[str(each.config.seed)] == pytest.approx(error, abs=1e-5)


def test_a_baseline_as_a_side(sides: list[list[StoredRun]], tmp_path: Path) -> None:
    registry = load_registry()
    for taken in (sides[0][:1], sides[0]):
        baselines = []
        for each in taken:
            made = BaselineRun(each, "reweighing", registry)
            vars(made).update(vars(pretended(each)))
            vars(made.files)["scores"] = each.files.scores
            baselines.append(made)
        found = compare_runs(taken, baselines, only=RECOVERY).metrics[RECOVERY.name].b
        results = [each.results for each in taken if each.results is not None]
        chosen = [each.for_means if len(taken) > 1 else each for each in results]
        values = [each.baseline_values("reweighing", RECOVERY) for each in chosen]
        assert found == interval(values, RECOVERY)


def test_edits_with_equal_gaps_of_opposite_signs_do_not_differ(
    sides: list[list[StoredRun]],
) -> None:
    """Signs of the data would make the difference between the two sure."""
    shares = ((0.28, 0.32, 0.68, 0.72), (0.32, 0.28, 0.72, 0.68))
    one, other = (
        scored(side[0], scored_by_hand.scored(100, 1.0, *each))
        for side, each in zip(sides, shares, strict=True)
    )
    found = compare_runs([one], [other]).metrics[FPQ.name]
    assert found.verdict == "undecided"
    assert found.a.value == pytest.approx(found.b.value)
