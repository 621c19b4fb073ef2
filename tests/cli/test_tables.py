"""The result table on terminals of any width."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from pretended import pretended
from rich.console import Console
from scored_by_hand import HALF, results, scored
from tiny import SIZES, run

from zobench.cli.display.comparison import print_comparison
from zobench.cli.display.gate import print_checks
from zobench.cli.display.result import print_result
from zobench.cli.display.run_lists import print_runs, print_suite
from zobench.comparison.gate import Check
from zobench.comparison.pairs import compare_runs
from zobench.contracts.run_status import RunStatus
from zobench.files.location import Location
from zobench.measures.recovery import FPQ, RECOVERY
from zobench.records.results import Results
from zobench.records.run_search import read_runs
from zobench.records.stored_run import StoredRun
from zobench.records.summary_line import summary_line, summary_lines
from zobench.registry.discovery import load_registry
from zobench.suite.file import Suite
from zobench.suite.planning import Job
from zobench.suite.running import Running
from zobench.suite.suite_run import SuiteResult


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> list[StoredRun]:
    """Runs of two optimizers with two seeds each."""
    out = tmp_path_factory.mktemp("runs")
    return [
        run(out, optimizer=optimizer, seed=seed, overrides=SIZES)
        for optimizer in ("random", "spsa")
        for seed in (0, 1)
    ]


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_the_table_loses_no_row_name_and_cuts_no_number_on_any_terminal(
    tmp_path: Path, width: int
) -> None:
    result = run(tmp_path)
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    print_result(result, False, console)
    text = console.export_text()
    assert "…" not in text
    assert text.count("edit ") >= len(result.scores) - 1
    for score in result.scores:
        for name in ("eo_n", "eo_p", "accuracy"):
            found = score.metrics[name]
            assert f"{found.value:.1f}" in text
            assert f"[{found.low:.1f}, {found.high:.1f}]" in text
    assert max(map(len, text.splitlines())) <= width or str(result.run_dir) in text


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_longest_numbers_are_not_cut_and_a_recovery_that_counts_as_0_is_marked(
    tmp_path: Path, width: int
) -> None:
    result = run(tmp_path)
    erm, costly = scored(0, 0.0, 0.0, 1.0, 0.0, 1.0), scored(400, 2.0, 0.6, 1.0, 0.0, 1.0)
    unfair = results(
        edits=[erm, costly], controls={"placebo": costly}, baselines={"free": HALF.score}
    )
    vars(result)["results"] = Results(unfair.stored, unfair.config, result.metrics)
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    print_result(result, False, console)
    text = console.export_text()
    assert "…" not in text
    assert "[100.0," in text
    assert "* counts as 0: accuracy fell by more than the tolerance of 1" in text
    assert text.count("*") == 3  # the edit, its placebo, and the line that explains the mark


def test_a_killed_run_shows_no_time_since_none_was_written(tmp_path: Path) -> None:
    console = Console(record=True, file=io.StringIO())
    killed = pretended(run(tmp_path), status=RunStatus.RUNNING, wall_seconds=0.0)
    print_result(killed, False, console)
    text = console.export_text()
    assert "status running" in text
    assert "wall time" not in text


def test_the_error_of_a_failed_run_is_told_once(tmp_path: Path) -> None:
    console = Console(record=True, file=io.StringIO())
    print_result(pretended(run(tmp_path), error="the disk is full"), False, console)
    assert console.export_text().count("the disk is full") == 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_of_a_suite_wraps_long_labels_and_cuts_no_number(
    several: list[StoredRun], tmp_path: Path, width: int
) -> None:
    long = {"beta1": 0.912345, "beta2": 0.987654, "lr": 0.012345, "radius": 0.0234567}
    overrides = {**SIZES, "optimizer": long}
    labelled = run(tmp_path, optimizer="zo-adamm", overrides=overrides, space="lowres:4")
    assert len(labelled.label) > 70
    jobs = [Job(each.config, each.run_dir, each.run_id) for each in (labelled, *several)]
    running = Running(jobs)
    result = SuiteResult(Suite("mine", (), ()), Location(tmp_path), running, load_registry())
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    print_suite(result, str(tmp_path), False, console)
    text = console.export_text()
    assert "…" not in text.replace("(least … largest)", "").replace(" … ", "")
    assert labelled.fpq is not None
    (row,) = (line for line in text.splitlines() if line.startswith(" zo-adamm"))
    assert f"{labelled.fpq.value + 0.0:.2f}" in row.split()
    assert "0.0234567" in text


@pytest.mark.parametrize("width", [80, 100, 160])
def test_lists_of_runs_can_be_read_and_copied_on_any_terminal(
    several: list[StoredRun], width: int
) -> None:
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    place, registry = Location(several[0].run_dir.parent), load_registry()
    print_runs(list(summary_lines(place, registry)), registry, False, console)
    lines = console.export_text().splitlines()
    for each in several:
        (line,) = (line for line in lines if each.run_id in line)
        assert each.fpq is not None
        assert f"{each.fpq.value:.2f}".removeprefix("-") in line
        assert "done" in line
        assert width == 80 or str(each.spent) in line.replace(each.run_id, "")
    assert "tiny/spots tiny" in lines[0]
    assert max(map(len, lines)) <= width


def test_in_a_narrow_list_long_names_of_runs_keep_the_end_that_tells_them_apart(
    several: list[StoredRun],
) -> None:
    long = "scattered-pairs-efficientnet-lite0-phantom-pleural_effusion"
    endings = {"random": "abcdef0123", "spsa": "fedcba9876"}
    lines = [
        replace(line, folder=Location(Path(f"{long}-s{line.seed}-{endings[line.optimizer]}")))
        for line in summary_lines(Location(several[0].run_dir.parent), load_registry())
    ]
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    print_runs(lines, load_registry(), False, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    table, _, example = text.partition("long names are shown by their ends: ")
    for line in lines:
        ending = f"*-s{line.seed}-{endings[line.optimizer]}"
        (row,) = (row for row in table.splitlines() if ending in row)
        assert line.optimizer in row
        assert "done" in row
        assert str(line.spent) in row.replace(ending, "")
    assert example.startswith("zobench show *-s")


def test_lists_of_several_problems_have_the_same_columns(several: list[StoredRun]) -> None:
    lines = list(summary_lines(Location(several[0].run_dir.parent), load_registry()))
    long = Location(Path("a-folder-that-its-owner-has-given-a-long-name"))
    others = [replace(line, problem="another problem", folder=long) for line in lines[:1]]
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    print_runs([*lines, *others], load_registry(), False, console)
    text = console.export_text()
    headings = [line.split() for line in text.splitlines() if " FPQ" in line]
    assert len(headings) > 1
    assert all(each == headings[0] for each in headings)
    assert text.count("a wider terminal") == 1


def test_the_command_that_resumes_a_run_can_be_copied_from_the_list(tmp_path: Path) -> None:
    stopped = run(tmp_path / "my runs")
    line = replace(summary_line(stopped), status=RunStatus.INTERRUPTED)
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    print_runs([line, replace(line, status=RunStatus.DONE)], load_registry(), False, console)
    last = console.export_text().splitlines()[-1]
    assert last == f"interrupted: zobench resume '{stopped.run_dir}'"
    print_runs([line] * 5, load_registry(), False, console)
    assert console.export_text().endswith("2 more can be resumed; --json lists them\n")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_gate_keeps_names_numbers_and_standings_whole_on_any_terminal(width: int) -> None:
    checks = [
        Check(
            "scattered-pairs length=0.016", "value", f"phantom/{finding} vit-mae", metric, *numbers
        )
        for finding in ("edema", "pleural_effusion")
        for metric, *numbers in (
            ("fpq", 0.41, 0.12, -0.29, 0.034, 0.05, "fell"),
            ("recovery", 0.5, math.nan, math.nan, math.nan, 0.1, "missing"),
        )
    ]
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    print_checks(checks, (FPQ, RECOVERY), console=console)
    text = console.export_text()
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for finding in ("edema", "pleural_effusion"):
        assert f"phantom/{finding} vit-mae, value feedback" in text
    assert sum("length=0.016" in line and "-0.290 ± 0.034" in line for line in lines) == 2
    assert sum("recovery" in line and "missing" in line for line in lines) == 2
    assert "failed: 4 of 4 numbers fell or are missing" in text


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_comparison_keeps_metrics_and_verdicts_on_any_terminal(
    several: list[StoredRun], width: int
) -> None:
    runs = read_runs([Location(several[0].run_dir.parent)], load_registry())
    one, other = ([run for run in runs if run.label == name] for name in ("random", "spsa"))
    found = compare_runs(one, other, {})
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    print_comparison(found, False, console)
    text = console.export_text()
    for name, each in found.metrics.items():
        assert any(name in line and each.verdict in line for line in text.splitlines())
    assert "…" not in text
