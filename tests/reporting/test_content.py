"""The content of a report, against numbers from other functions or computed by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pretended import pretended, with_metric
from rich.console import Console
from tiny import SIZES, run

from zobench.cli.display.run_lists import print_runs
from zobench.comparison.gate import check
from zobench.comparison.gate_rows import baseline_of
from zobench.comparison.pairs import compare_runs
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.files.location import Location
from zobench.measures.recovery import BEYOND_PLACEBO
from zobench.records.run_search import read_runs
from zobench.records.runtime import known_until
from zobench.records.stored_run import StoredRun
from zobench.records.summary_line import summary_line
from zobench.registry.discovery import load_registry
from zobench.reporting.content import Content, collect
from zobench.reporting.rendering import render
from zobench.statistics import expected_queries

TARGETS = (0.1, 0.25)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[StoredRun]:
    path = tmp_path_factory.mktemp("reported")
    for seed in range(3):
        run(path, optimizer="random", overrides=SIZES, seed=seed)
        run(path, optimizer="adam", overrides=SIZES, seed=seed)
    return read(path)


def read(folder: Path) -> list[StoredRun]:
    return read_runs([Location(folder)], load_registry())


def row(content: Content, optimizer: str) -> dict[str, Any]:
    (found,) = [each for each in content.rows if each["optimizer"] == optimizer]
    return found


def test_means_are_those_of_the_runs_and_intervals_hold_them(runs: list[StoredRun]) -> None:
    content = collect(runs, TARGETS)
    for name in ("random", "adam"):
        mine = [each for each in runs if each.label == name]
        found = row(content, name)
        for metric in content.columns:
            mean = np.mean([abs(each.values(metric)[0]) for each in mine])
            if not metric.signed:
                mean = np.mean([each.values(metric)[0] for each in mine])
            shown = found[metric.name]
            assert shown["value"] == pytest.approx(mean, abs=1e-5)
            assert shown["low"] <= shown["value"] <= shown["high"]
        assert (found["done"], found["seeds"]) == (3, 3)


def test_runtimes_charge_failures_and_curves_end_at_the_last_snapshot(
    runs: list[StoredRun],
) -> None:
    content = collect(runs, TARGETS)
    mine = [each for each in runs if each.label == "adam"]
    for place, target in enumerate(TARGETS):
        reached = []
        for each in mine:
            assert each.results is not None
            found_ = each.results
            pairs = zip(found_.queries, found_.curve.recovery[1:, 0], strict=True)
            reached.append(next((queries for queries, value in pairs if value >= target), None))
        ert = expected_queries(reached, [each.spent for each in mine])
        found = row(content, "adam")["ert"][place]["value"]
        assert (found is None) == np.isinf(ert)
        assert found is None or found == pytest.approx(ert)
        assert row(content, "adam")["success"][place] == sum(r is not None for r in reached) / 3
    (curves,) = content.curves.values()
    assert curves["queries"][-1] > curves["budget"] == 400
    last = curves["lines"]["adam"]["mean"][-1]
    assert last == pytest.approx(row(content, "adam")["recovery"]["value"], abs=1e-5)
    assert curves["lines"]["adam"]["mean"][curves["queries"].index(400)] == last


def test_no_step_of_a_curve_is_drawn_late(runs: list[StoredRun]) -> None:
    alone = next(each for each in runs if each.label == "adam")
    assert alone.results is not None
    (curves,) = collect([alone], TARGETS).curves.values()
    drawn = dict(zip(curves["queries"], curves["lines"]["adam"]["mean"], strict=True))
    told = dict(zip(alone.results.queries, alone.results.curve.recovery[1:, 0], strict=True))
    assert len(set(told.values())) > 1
    assert {each: drawn[each] for each in told} == pytest.approx(told, abs=1e-5)


def test_unfinished_runs_count_up_to_where_they_got(runs: list[StoredRun]) -> None:
    first, *others = [each for each in runs if each.label == "random"]
    stopped = pretended(first, status=RunStatus.INTERRUPTED, edits=3, spent=60)
    nothing = pretended(others[0], status=RunStatus.FAILED, edits=0, spent=20)
    content = collect([stopped, nothing, *others[1:]], TARGETS)
    found = row(content, "random")
    assert (found["done"], found["seeds"]) == (1, 3)
    assert dict(content.facts)["runs"] == "3 (1 interrupted, 1 failed, 1 done)"
    (curves,) = content.curves.values()
    assert None not in curves["lines"]["random"]["mean"]  # that of the run that is done
    (curves,) = collect([stopped, nothing], TARGETS).curves.values()
    reach = known_until(stopped)
    assert stopped.results is not None
    assert reach == stopped.results.queries[-1] < 400
    known = [value is not None for value in curves["lines"]["random"]["mean"]]
    assert known == [queries <= reach for queries in curves["queries"]]
    (finished,) = [each for each in (stopped, *others[1:]) if each.done]
    alone = collect([finished], TARGETS)
    assert found["fpq"]["value"] == row(alone, "random")["fpq"]["value"]  # FPQ uses done runs only


def test_a_run_without_a_placebo_takes_no_column_from_the_others(runs: list[StoredRun]) -> None:
    none = pretended(runs[0], config={"controls": "none"})
    for mixed in ([none, *runs[1:]], [*runs[1:], none]):
        content = collect(mixed, TARGETS)
        assert BEYOND_PLACEBO in content.columns
        assert row(content, none.label)[BEYOND_PLACEBO.name] is None
        other = next(run for run in runs if run.label != none.label)
        assert row(content, other.label)[BEYOND_PLACEBO.name] is not None
        assert render("title", content, mixed)


def test_the_facts_say_how_embeddings_were_computed(runs: list[StoredRun]) -> None:
    encoder = runs[0].manifest.encoder
    for told, said in (
        ({"device": "cuda:0", "precision": "bf16"}, "cuda bf16"),
        ({}, "the encoder does not tell"),
    ):
        alike = [pretended(run, encoder=replace(encoder, settings=told)) for run in runs]
        assert dict(collect(alike, TARGETS).facts)["device, precision"] == said


def test_every_number_can_be_written_as_json(runs: list[StoredRun]) -> None:
    content = collect(runs, TARGETS)
    assert json.dumps([content.rows, content.curves, content.runtimes], allow_nan=False)
    (ledger,) = {each["optimizer"]: each for each in content.ledger}.keys() & {"adam"}
    spent = next(each for each in content.ledger if each["optimizer"] == ledger)
    assert spent["optimize_backward"] == spent["optimize_forward"] > 0


def test_two_budgets_and_two_runs_of_one_seed_are_refused(
    runs: list[StoredRun], tmp_path: Path
) -> None:
    run(tmp_path / "long", optimizer="random", overrides=SIZES, budget=800)
    with pytest.raises(ConfigError, match="the budget is 400 in one and 800"):
        collect([*runs, *read(tmp_path / "long")], TARGETS)
    with pytest.raises(ConfigError, match="the same problem, optimizer and seed"):
        collect([*runs, pretended(runs[0])], TARGETS)


def test_ranks_are_there_from_two_problems_on(runs: list[StoredRun]) -> None:
    assert collect(runs, TARGETS).ranks == {}
    alike = [pretended(each, feedback="value") for each in runs]
    other = [pretended(each, config={"disease": "another"}, feedback="value") for each in runs]
    (ranks,) = collect([*alike, *other], TARGETS).ranks.values()
    assert sorted(ranks["optimizers"]) == ["adam", "random"]
    assert sum(ranks["ranks"]) == 3


def test_problems_agree_as_far_as_they_order_optimizers_alike(runs: list[StoredRun]) -> None:
    third = [
        pretended(each, config={"optimizer": "spsa"}) for each in runs if each.label == "random"
    ]
    here = [pretended(each, feedback="value") for each in [*runs, *third]]
    there = [pretended(each, config={"disease": "another"}) for each in here]
    (found,) = collect([*here, *there], TARGETS).agreements.values()
    assert sorted(found["optimizers"]) == ["adam", "random", "spsa"]
    (pair,) = found["pairs"]
    assert pair["tau"] == 1.0
    assert {best["optimizer"] for best in found["first"].values()} == {"adam"}
    assert "Do the problems agree?" in render("two", collect([*here, *there], TARGETS), [])
    assert collect(here, TARGETS).agreements == {}
    fewer = [each for each in there if each.label != "adam" or each.config.seed == 0]
    (found,) = collect([*here, *fewer], TARGETS).agreements.values()
    (pair,) = found["pairs"]
    assert pair["seeds"] == 1  # the seeds that every optimizer has on both


@pytest.mark.parametrize("level", ["embeddings", "gradient"])
def test_an_optimizer_that_knows_more_is_never_ranked_among_those_that_see_values(
    runs: list[StoredRun], level: str
) -> None:
    knows = [pretended(each, feedback=level if each.label == "adam" else "value") for each in runs]
    other = [
        pretended(each, config={"disease": "another"}, feedback=each.feedback) for each in knows
    ]
    content = collect([*knows, *other], TARGETS)
    assert content.ranks == {}  # one optimizer a level is no ranking
    levels = {row["optimizer"]: row["feedback"] for row in content.rows}
    assert levels == {"adam": level, "random": "value"}
    page = render("ranked", content, [])
    for name, found in levels.items():
        bodies = [part.split("</tbody>")[0] for part in page.split("<tbody>")]
        ranked = [body for body in bodies if 'class="level"' in body]
        (body,) = (body for body in ranked if f'data-swatch="{name}"' in body)
        assert f"{found} feedback" in body
    lines = next(iter(content.curves.values()))["lines"]
    assert {name: line["feedback"] for name, line in lines.items()} == levels
    console = Console(width=200, record=True, file=io.StringIO())
    print_runs([summary_line(each) for each in knows], load_registry(), False, console)
    tables = console.export_text().split("tiny/spots tiny, ")
    assert [table.split()[0] for table in tables[1:]] == sorted({level, "value"})
    assert all(("adam" in table) != ("random" in table) for table in tables[1:])
    compared = compare_runs(
        [each for each in knows if each.label == "random"],
        [each for each in knows if each.label == "adam"],
    )
    assert any(f"B {level}" in note for note in compared.notes)
    (first, *_) = check(baseline_of(knows), baseline_of(knows), knows[0].quantities)
    assert first.feedback == levels[first.optimizer]


def test_an_optimizer_without_a_score_has_a_row_and_a_failed_one_counts_in_full(
    runs: list[StoredRun],
) -> None:
    first, second, third = [each for each in runs if each.label == "random"]
    adam = [each for each in runs if each.label == "adam"]
    none = [pretended(each, status=RunStatus.RUNNING, edits=0) for each in (first, second)]
    content = collect([*none, *adam], TARGETS)
    assert row(content, "random")["ert"] == row(content, "random")["success"] == [None, None]
    assert row(content, "random")["fpq"] is None
    failed = [
        pretended(each, status=RunStatus.FAILED, edits=0, spent=300) for each in (first, second)
    ]
    found = row(collect(failed, TARGETS), "random")
    assert [each["value"] for each in found["ert"]] == [None, None]  # infinity
    assert found["success"] == [0, 0]
    reached = pretended(third)
    assert reached.on_the_data is not None
    reached.on_the_data.curve.recovery[:] = 1.0
    found = row(collect([*failed, reached], TARGETS), "random")
    once = reached.on_the_data.queries[0]
    assert [each["value"] for each in found["ert"]] == [2 * 300 + once] * 2
    assert found["success"] == pytest.approx([1 / 3] * 2)


def test_a_ratio_that_is_infinite_on_some_patients_has_no_mean(runs: list[StoredRun]) -> None:
    def broken_at_7(values: np.ndarray) -> np.ndarray:
        values[:, 7] = np.inf
        return values

    broken = [with_metric(each, "di_gap_tpr", broken_at_7) for each in runs]
    content = collect(broken, TARGETS)
    assert row(content, "adam")["di_gap_tpr"] is None
    assert row(content, "adam")["eo_p"] is not None
    assert all(erm["di_gap_tpr"] is None for erm in content.erm.values())


def test_a_told_error_does_not_say_where_data_and_services_are(runs: list[StoredRun]) -> None:
    url = "http://10.1.2.3:8000/v2/models/secret"
    config = {"data_root": "/home/me/films", "overrides": {"encoder": {"url": url}}}
    error = f"ServiceError: {url}: http://10.1.2.3:8000 is down; no film in /home/me/films/a"
    parameters = {**runs[0].manifest.parameters, "encoder": {}}
    run = pretended(
        runs[0], config=config, error=error, status=RunStatus.FAILED, parameters=parameters
    )
    (told,) = collect([run], TARGETS).runs
    assert "10.1.2.3" not in told["error"]
    assert "/home/me" not in told["error"]
    assert "ServiceError" in told["error"]
