"""A gate passes noise and harmless changes, and fails on a loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import sealed
from tiny import SIZES, run

from zobench.cli.display.gate import verdict
from zobench.comparison.gate import Check, check, fitting
from zobench.comparison.gate_file import Baseline, Row, Sample, read_baseline, write_baseline
from zobench.comparison.gate_rows import baseline_of
from zobench.errors import ConfigError
from zobench.files.location import Location
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.records.run_search import read_runs
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry

MARGINS = {"fpq": 0.02}


def baseline_text(values: str, errors: str) -> str:
    """A baseline file with one number."""
    sample = f'{{"fpq": {{"values": {values}, "errors": {errors}}}}}'
    row = f'{{"optimizer": "mine", "problem": "films", "conditions": {{}}, "metrics": {sample}}}'
    return f'{{"zobench_baseline": 4, "margins": {{"fpq": 0.02}}, "rows": [{row}]}}'


REGISTRY = load_registry()
QUANTITIES = (FPQ, RECOVERY, BEYOND_PLACEBO, *REGISTRY.metrics)


def read(folder: Path) -> list[StoredRun]:
    return read_runs([Location(folder)], REGISTRY)


def drawn(seeds: range, mean: float, spread: float, rng: np.random.Generator) -> Baseline:
    values = {str(seed): float(mean + spread * rng.standard_normal()) for seed in seeds}
    sample = Sample(values, dict.fromkeys(values, spread))
    return Baseline(MARGINS, (Row("mine", "films", {"budget": 1}, {"fpq": sample}),))


def standing(before: Baseline, now: Baseline) -> str:
    (found,) = check(before, now, QUANTITIES)
    return found.standing


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_other_seeds_of_the_same_code_pass_nineteen_times_in_twenty(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    fell = 0
    for _ in range(1000):
        before = drawn(range(seeds), 0.3, 0.05, rng)
        now = drawn(range(100, 100 + seeds), 0.3, 0.05, rng)
        fell += standing(before, now) == "fell"
    assert fell / 1000 <= 0.05


def test_a_loss_beyond_the_margin_falls_and_a_small_one_does_not() -> None:
    rng = np.random.default_rng(0)
    before = drawn(range(5), 0.30, 0.005, rng)
    assert standing(before, drawn(range(5), 0.20, 0.005, rng)) == "fell"
    assert standing(before, drawn(range(50, 55), 0.20, 0.005, rng)) == "fell"
    assert standing(before, drawn(range(5), 0.295, 0.0001, rng)) == "holds"
    assert standing(before, drawn(range(5), 0.40, 0.005, rng)) == "rose"
    assert standing(before, before) == "holds"


def test_a_loss_of_just_the_margin_holds() -> None:
    """0.48 - 0.5 is a little less than -0.02 in floating point."""
    before, now = (
        Baseline(MARGINS, (Row("mine", "films", {"budget": 1}, {"fpq": sample}),))
        for value in (0.5, 0.48)
        for sample in [Sample(dict.fromkeys("012", value), dict.fromkeys("012", 0.0))]
    )
    assert standing(before, now) == "holds"
    assert standing(now, before) == "holds"


def test_what_is_missing_fails_and_what_is_new_is_told() -> None:
    before = drawn(range(3), 0.3, 0.05, np.random.default_rng(0))
    other = Baseline(MARGINS, (Row("other", "films", {"budget": 1}, before.rows[0].metrics),))
    found = {each.optimizer: each.standing for each in check(before, other, QUANTITIES)}
    assert found == {"mine": "missing", "other": "new"}


def runs(tmp_path: Path, **fields: Any) -> Path:
    for seed in range(2):
        run(tmp_path, **{"optimizer": "adam", "overrides": SIZES, "seed": seed, **fields})
    return tmp_path


def test_a_baseline_survives_its_file_and_holds_for_the_runs_it_was_made_of(
    tmp_path: Path,
) -> None:
    made = baseline_of(read(runs(tmp_path / "runs")))
    path = tmp_path / "baseline.json"
    write_baseline(path, made)
    assert read_baseline(path, QUANTITIES) == made
    assert {each.standing for each in check(read_baseline(path, QUANTITIES), made, QUANTITIES)} == {
        "holds"
    }
    first = path.read_bytes()
    path.write_bytes(first.replace(b"\n", b"\r\n"))  # as version control may check it out
    assert read_baseline(path, QUANTITIES) == made
    write_baseline(path, baseline_of(list(reversed(read(tmp_path / "runs")))))
    assert path.read_bytes() == first  # the order of runs does not change the file
    assert len(first) < 4000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 800}, "the budget was 400 and is 800"),
        ({"penalty": 1.0}, "the penalty was 0.01"),
        ({"until": 0.9}, "the recovery to stop at was 0.0 and is 0.9"),
    ],
)
def test_a_baseline_of_other_conditions_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    before = baseline_of(read(runs(tmp_path / "a")))
    now = baseline_of(read(runs(tmp_path / "b", **change)))
    with pytest.raises(ConfigError, match=words):
        check(before, now, QUANTITIES)


def test_runs_that_do_not_fit_are_left_out_with_the_reason_and_never_shown_as_new(
    tmp_path: Path,
) -> None:
    path, notes = tmp_path / "baseline.json", list[str]()
    write_baseline(path, baseline_of(read(runs(tmp_path / "before"))))
    run(tmp_path / "now", optimizer="adam", overrides=SIZES)
    run(tmp_path / "now", optimizer="adam", overrides=SIZES, seed=1, budget=800)
    (kept,) = fitting(read(tmp_path / "now"), path, notes.append)
    assert (kept.config.seed, kept.config.budget) == (0, 400)
    (note,) = notes
    assert "-s1-" in note
    assert note.endswith(": the budget was 400 and is 800")
    run(tmp_path / "other", optimizer="random", overrides=SIZES, budget=800)
    with pytest.raises(ConfigError, match=r"none of the runs can be held to .*baseline\.json; run"):
        fitting(read(tmp_path / "other"), path, notes.append)
    assert "without a row in the baseline: the budget was 400 and is 800" in notes[-1]


def test_runs_without_the_controls_of_others_are_named(tmp_path: Path) -> None:
    mixed = [
        run(tmp_path, optimizer="random", overrides=SIZES, seed=seed, controls=controls)
        for seed, controls in enumerate(("last", "none"))
    ]
    with pytest.raises(ConfigError, match=r"has no beyond_placebo, which a gate's margin names"):
        baseline_of(mixed)


def test_a_baseline_from_another_encoder_is_refused(tmp_path: Path) -> None:
    before = baseline_of(read(runs(tmp_path / "a")))
    (row,) = before.rows
    conditions = {**row.conditions, "encoder_digest": "other weights"}
    other = Baseline(before.margins, (Row(row.optimizer, row.problem, conditions, row.metrics),))
    with pytest.raises(ConfigError, match="the encoder digest was other weights and is tiny"):
        check(other, before, QUANTITIES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", r"is no baseline .* checksum .* write it anew with --update"),
        ("[]", "is no baseline"),
        (
            sealed('{"zobench_baseline": 4}').replace("4", "9", 1),
            "or is damaged.*delete it and write it anew with --update",
        ),
        (sealed('{"zobench_baseline": 4}'), "is no baseline"),
        (sealed('{"zobench_baseline": 9}'), "format 9"),
        (sealed(baseline_text("{}", "{}")), "at least one"),
        (sealed(baseline_text('{"0": NaN}', '{"0": 0.1}')), "finite"),
        (sealed(baseline_text('{"0": 0.5}', '{"1": 0.1}')), "the same seeds"),
        (sealed(baseline_text('{"zero": 0.5}', '{"zero": 0.1}')), "whole numbers"),
        (sealed(baseline_text('{"0": "much"}', '{"0": 0.1}')), "is no baseline"),
        (sealed(baseline_text("[]", "[]")), "is no baseline"),
        (
            sealed(baseline_text('{"0": 0.5}', '{"0": 0.1}').replace("fpq", "mine")),
            "holds mine, which no installed distribution computes; install the one that has it, or",
        ),
    ],
)
def test_what_is_no_baseline_is_told(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_baseline(path, QUANTITIES)
    with pytest.raises(ConfigError, match="write one with --update"):
        read_baseline(tmp_path / "nowhere.json", QUANTITIES)
    with pytest.raises(ConfigError, match="a folder; name the JSON file"):
        read_baseline(tmp_path, QUANTITIES)


def test_a_check_can_be_read_as_json(tmp_path: Path) -> None:
    before = drawn(range(3), 0.3, 0.05, np.random.default_rng(0))
    (found,) = check(before, before, QUANTITIES)
    assert isinstance(found, Check)
    assert json.dumps(found.__dict__, allow_nan=False)


def test_the_baseline_s_own_seeds_are_what_is_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = drawn(range(3), 0.3, 0.05, rng)
    (row,) = before.rows
    sample = row.metrics["fpq"]
    more = Sample({**sample.values, "7": 0.0}, {**sample.errors, "7": 0.05})
    now = Baseline(MARGINS, (replace(row, metrics={"fpq": more}),))
    (found,) = check(before, now, QUANTITIES)
    assert (found.standing, found.gain) == ("holds", 0)
    one = Sample({"1": sample.values["1"]}, {"1": 0.05})
    with pytest.raises(ConfigError, match="0, 1, 2 in the baseline, and the runs lack seed 0, 2"):
        check(before, Baseline(MARGINS, (replace(row, metrics={"fpq": one}),)), QUANTITIES)


def test_the_gate_of_this_repository_falls_where_nothing_is_bought() -> None:
    before = read_baseline(
        Path(__file__).parents[2] / ".github" / "gate" / "baseline.json", QUANTITIES
    )
    rows = []
    for row in before.rows:
        fpq = row.metrics["fpq"]
        nothing = replace(fpq, values=dict.fromkeys(fpq.values, 0.0))
        rows.append(replace(row, metrics={**row.metrics, "fpq": nothing}))
    fell = [
        each.optimizer
        for each in check(before, replace(before, rows=tuple(rows)), QUANTITIES)
        if each.standing == "fell"
    ]
    assert fell


def test_new_rows_do_not_count_as_numbers_that_hold() -> None:
    empty = Baseline(MARGINS, ())
    sample = Sample({"0": 0.5}, {"0": 0.1})
    now = Baseline(MARGINS, (Row("mine", "films", {}, {"fpq": sample}),))
    (found,) = check(empty, now, QUANTITIES)
    assert (found.standing, found.margin) == ("new", MARGINS["fpq"])
    assert verdict([found]) == "passed: 0 numbers hold; 1 new, without a baseline"
