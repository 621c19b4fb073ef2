"""Choosing runs among mixed ones, on real runs of a second each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from pretended import pretended
from tiny import SIZES, config, run, tiny_registry

from zobench.comparison.compare import compare_locations
from zobench.comparison.gate import check_runs, fitting
from zobench.comparison.gate_file import write_baseline
from zobench.comparison.gate_rows import baseline_of
from zobench.comparison.pairs import compare_runs
from zobench.config import RunConfig
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.files.location import Location
from zobench.records.run_search import meant_label, read_runs
from zobench.records.selection import (
    Choice,
    Where,
    cautions,
    most_finished,
    without_repetitions,
)
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry
from zobench.runs.lifecycle import resume_run
from zobench.runs.resolved import resolve_config


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[StoredRun]:
    """Three runs with one budget, one with another, and one of the first three again."""
    out = tmp_path_factory.mktemp("mixed")
    for name, seed, budget in [
        *(("random", 0, 400), ("spsa", 0, 400), ("random", 1, 400)),
        *(("random", 0, 200), ("random", 0, 400)),
    ]:
        run(out, optimizer=name, seed=seed, budget=budget, overrides=SIZES)
    return read_runs([Location(out)], load_registry())


def test_conditions_choose_and_say_what_there_is(mixed: list[StoredRun]) -> None:
    def chosen(*texts: str) -> list[StoredRun]:
        return Choice([Where.parsed(text) for text in texts]).of(mixed)

    assert len(chosen("budget=400")) == 4
    assert len(chosen("budget=4e2", "seed=0")) == 3
    assert len(chosen("label=spsa", "feedback=value", "status=done")) == 1
    with pytest.raises(ConfigError, match=r"no run has budget=7; there are: 200, 400"):
        chosen("budget=7")
    with pytest.raises(ConfigError, match="did you mean 'budget'"):
        chosen("budgt=7")
    with pytest.raises(ConfigError, match="must be KEY=VALUE"):
        chosen("budget")


def test_a_suites_configs_choose_its_runs(mixed: list[StoredRun]) -> None:
    declared = config("spsa")
    (found,) = Choice(configs=[declared]).of(mixed)
    assert found.label == "spsa"
    with pytest.raises(ConfigError, match="no run there is one of the suite's"):
        Choice(configs=[config("gezo")]).of(mixed)


def test_a_suites_runs_are_found_however_their_parameters_are_typed(mixed: list[StoredRun]) -> None:
    def parameters(of: RunConfig) -> Mapping[str, Any]:
        return resolve_config(of, tiny_registry()).parameters

    declared = config("spsa")
    sizes = declared.overrides["split"]
    default = parameters(declared)["optimizer"]["first_step"]
    typed = {"split": {name: str(value) for name, value in sizes.items()}}
    same = declared.changed(overrides={**typed, "optimizer": {"first_step": default}})
    assert Choice(configs=[same], parameters=parameters).of(mixed)[0].label == "spsa"
    other = declared.changed(overrides={**typed, "optimizer": {"first_step": 2 * default}})
    with pytest.raises(ConfigError, match="no run there is one of the suite's"):
        Choice(configs=[other], parameters=parameters).of(mixed)


def test_the_largest_group_is_kept_and_the_rest_is_named(mixed: list[StoredRun]) -> None:
    kept, notes = most_finished(mixed)
    assert [each.config.budget for each in kept] == [400] * 4
    assert len(notes) == 1
    assert (
        "left out 1 run whose budget is 200, not 400; --where budget=200 chooses them" in notes[0]
    )
    once, more = without_repetitions(kept)
    assert sorted((each.label, each.config.seed) for each in once) == [
        ("random", 0),
        ("random", 1),
        ("spsa", 0),
    ]
    newest = max(each.manifest.created for each in kept if each.config.seed == 0)
    assert newest in {each.manifest.created for each in once}
    (other,) = (each for each in kept if each not in once)
    assert more == [f"left out 1 other run of the same optimizer and seed: {other.location}"]


def test_finished_runs_are_kept_though_more_are_on_their_way(mixed: list[StoredRun]) -> None:
    seeds = range(9)
    going = [
        pretended(mixed[0], status=RunStatus.RUNNING, config={"budget": 6400, "seed": seed})
        for seed in seeds
    ]
    kept, notes = most_finished([*going, *mixed])
    assert [each.config.budget for each in kept] == [400] * 4
    assert any("left out 9 unfinished runs whose budget is 6400" in note for note in notes)


def test_sets_of_parameters_are_told_by_what_differs(mixed: list[StoredRun]) -> None:
    parameters = dict(mixed[0].manifest.parameters)
    split = {**parameters["split"], "train": 81}
    other = pretended(mixed[0], config={"budget": 400}, parameters={**parameters, "split": split})
    alike = [run for run in mixed if run.config.budget == 400]
    _, (note,) = most_finished([other, *alike])
    assert "whose set of split parameters is train=81, not train=" in note
    assert "{" not in note


def test_a_run_with_its_whole_budget_comes_before_a_newer_one_that_time_ended(
    tmp_path: Path, here: Callable[..., CompletedProcess[str]]
) -> None:
    whole = run(tmp_path, optimizer="random", overrides=SIZES)
    cut = run(tmp_path, optimizer="random", overrides=SIZES, max_time=1e-6)
    assert cut.manifest.ended_by == "max_time"
    (kept,), _ = without_repetitions([whole, cut])
    assert kept is whole
    other = run(tmp_path / "other", optimizer="spsa", overrides=SIZES, max_time=1e-6)
    (note,) = compare_runs([whole], [other]).notes[-1:]
    assert note.startswith("max_time ended 1 run (spsa) before the budget")
    done = here("report", str(tmp_path), str(tmp_path / "other"), "-o", "page.html")
    assert "max_time ended 1 run (spsa) before the budget" in done.stderr
    assert "max_time ended 1 run (spsa)" in (tmp_path / "page.html").read_text()
    with pytest.raises(ConfigError, match="was ended by max_time 1e-06 before its budget; a gate"):
        baseline_of([other])


def test_an_extended_run_is_compared_with_a_warning_and_stays_outside_gates(tmp_path: Path) -> None:
    short = run(tmp_path, optimizer="random", overrides=SIZES, budget=200)
    longer = resume_run(short.run_dir, registry=tiny_registry(), budget=400)
    fresh = run(tmp_path, optimizer="spsa", overrides=SIZES)
    (note,) = compare_runs([fresh], [longer]).notes[-1:]
    assert note.startswith("extended when scores were known: 1 run (random)")
    assert cautions([fresh]) == []
    with pytest.raises(
        ConfigError, match="was extended after it had ended; a gate needs runs that"
    ):
        baseline_of([longer])
    write_baseline(tmp_path / "b.json", baseline_of([fresh], {"fpq": 0.02}))
    told: list[str] = []
    assert fitting([longer, fresh], tmp_path / "b.json", told.append) == [fresh]
    assert told == [f"left out {longer.location}, which was extended after it had ended"]


def gated(mixed: list[StoredRun], path: Path) -> tuple[list[StoredRun], list[StoredRun]]:
    """The runs of a baseline, which this writes: ``random`` with 400 queries; and those with 200."""
    shorter = [each for each in mixed if each.config.budget == 200]
    once, _ = without_repetitions([each for each in mixed if each not in shorter])
    same = [each for each in once if each.label == "random"]
    write_baseline(path, baseline_of(same, {"fpq": 0.02}))
    return same, shorter


def test_a_new_optimizer_with_more_runs_does_not_push_out_those_of_the_baseline(
    mixed: list[StoredRun], tmp_path: Path
) -> None:
    path, told = tmp_path / "b.json", list[str]()
    same, (shorter,) = gated(mixed, path)
    new = [pretended(shorter, config={"optimizer": "spsa", "seed": seed}) for seed in range(5)]
    kept = fitting([*new, *same], path, told.append)
    assert kept == same
    assert len(told) == 5
    assert told[0].endswith("without a row in the baseline: the budget was 400 and is 200")
    (spsa,) = (each for each in mixed if each.label == "spsa")
    assert fitting([spsa, *same], path) == [spsa, *same]  # new, under the same conditions


def test_a_row_whose_runs_all_have_other_conditions_is_refused_and_not_called_missing(
    mixed: list[StoredRun], tmp_path: Path
) -> None:
    path = tmp_path / "b.json"
    same, shorter = gated(mixed, path)
    (spsa,) = (each for each in mixed if each.label == "spsa")
    with pytest.raises(ConfigError, match=r"random on .* the budget was 400 and is 200"):
        fitting([spsa, *shorter], path)
    assert fitting([*shorter, *same], path) == same


def test_which_run_comes_first_does_not_matter_where_some_have_no_controls(
    mixed: list[StoredRun], tmp_path: Path
) -> None:
    path = tmp_path / "b.json"
    same, _ = gated(mixed, path)
    write_baseline(path, baseline_of(same, {"fpq": 0.02, "beyond_placebo": 0.1}))
    without = run(tmp_path, optimizer="spsa", seed=5, budget=400, controls="none", overrides=SIZES)
    for order in ([without, *same], [*same, without]):
        with pytest.raises(
            ConfigError, match=r"has no beyond_placebo, which a gate's margin names"
        ):
            check_runs(order, path)
    with pytest.raises(ConfigError, match="has no beyond_placebo"):
        baseline_of([without, *same])


def test_a_baseline_is_that_of_the_runs_that_are_meant(mixed: list[StoredRun]) -> None:
    place, choice = Location(mixed[0].run_dir.parent), Choice([Where("budget", "200")])
    told: list[str] = []
    found = compare_locations(
        *(place, place),
        optimizer_a="method:reweighing",
        optimizer_b="random",
        choice=choice,
        note=told.append,
    )
    ((one, other),) = found.pairs
    assert one.config.budget == other.config.budget == 200
    assert not told


def test_conditions_choose_before_a_label_is_looked_up(tmp_path: Path) -> None:
    for space in ("pixel", "lowres:4"):
        for name in ("random", "spsa"):
            run(tmp_path, optimizer=name, space=space, overrides=SIZES)
    place, choice = Location(tmp_path), Choice([Where("space", "lowres:4")])
    pair = compare_locations(place, place, optimizer_a="rand", optimizer_b="spsa", choice=choice)
    assert [side.label for side in pair.pairs[0]] == ["random in lowres:4", "spsa in lowres:4"]
    with pytest.raises(ConfigError, match="2 labels begin with 'rand'"):
        compare_locations(place, place, optimizer_a="rand", optimizer_b="spsa in")


def test_a_whole_number_is_the_same_condition_as_the_float(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, optimizer="random", seed=seed, tolerance=tolerance, overrides=SIZES)
        for seed, tolerance in ((0, 1), (1, 1.0), (2, np.float32(1)))
    ]
    assert most_finished(runs) == (runs, [])


def test_the_hint_on_scored_edits_names_a_value_that_is_found(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, optimizer="random", overrides=SIZES, seed=seed, snapshots=3, scored=scored)
        for seed, scored in ((0, 2), (1, 5), (2, 5))
    ]
    _, (note,) = most_finished(runs)
    assert "whose number of scored edits is 2, not 3; --where scored=2 chooses them" in note
    assert [each.config.seed for each in Choice([Where("scored", "3")]).of(runs)] == [1, 2]


def test_a_label_may_be_cut_short() -> None:
    labels = ["adam lr=0.1", "adam lr=0.01", "adamw", "pgd"]
    assert meant_label("pg", labels) == "pgd"
    assert meant_label("adam lr=0.1", labels) == "adam lr=0.1"
    with pytest.raises(ConfigError, match="3 labels begin with 'adam'"):
        meant_label("adam", labels)
    with pytest.raises(ConfigError, match=r"no run of 'gezo' there.*there are: adam lr=0.01"):
        meant_label("gezo", labels)


def test_report_compare_and_gate_take_a_folder_of_mixed_runs(
    mixed: list[StoredRun], here: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    folder = str(mixed[0].run_dir.parent)
    done = here("report", folder, "-o", "page.html")
    assert done.returncode == 0, done.stderr
    assert "wrote page.html: 3 runs" in done.stdout
    assert "left out 1 run whose budget is 200" in done.stderr
    assert "left out 1 run whose budget is 200" in (tmp_path / "page.html").read_text()
    done = here("report", folder, "-o", "small.html", "--where", "budget=200")
    assert "wrote small.html: 1 run," in done.stdout
    done = here("compare", folder)
    assert done.returncode == 0, done.stderr
    assert {"random", "spsa"} <= {
        line.split()[0] for line in done.stdout.splitlines() if line.strip()
    }
    done = here("compare", folder, "--a", "ran", "--b", "sp")
    assert done.returncode == 0, done.stderr
    assert "B: spsa" in done.stdout
    done = here("gate", folder, "--baseline", "b.json", "--update", "--where", "seed=1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.json").exists()
