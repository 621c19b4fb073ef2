"""Every two optimizers of a folder: the order, the differences and Holm's correction."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest
from pretended import pretended
from rich.console import Console
from scipy.stats import false_discovery_control
from tiny import SIZES, run

import zobench
from zobench.cli.display.ranking import print_ranking
from zobench.comparison.all_pairs import rank_all, unranked
from zobench.comparison.pairs import compare_runs
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.measures.recovery import FPQ
from zobench.measures.resampling import Resamples
from zobench.records.stored_run import StoredRun
from zobench.statistics import holm


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[StoredRun]:
    out = tmp_path_factory.mktemp("runs")
    return [
        run(out, optimizer=name, seed=seed, overrides=SIZES)
        for name in ("random", "spsa", "zo-sgd", "adam")
        for seed in range(2)
    ]


def test_each_pair_has_the_difference_of_a_comparison_of_the_two(runs: list[StoredRun]) -> None:
    (level,) = rank_all(runs)  # adam alone sees gradients
    assert level.feedback == "value"
    means = [level.fpq[label].value for label in level.labels]
    assert means == sorted(means, reverse=True)
    assert len(level.pairs) == 3
    for pair in level.pairs:
        one, other = ([each for each in runs if each.label == name] for name in (pair.a, pair.b))
        wanted = compare_runs(one, other).metrics[FPQ.name]
        assert pair.fpq == wanted
        assert pair.adjusted >= pair.p
        assert level.gain_over(pair.a, pair.b)[0] == wanted.gain
        turned = level.gain_over(pair.b, pair.a)[0]
        assert turned is not None
        assert (turned.value, turned.low) == (-wanted.gain.value, -wanted.gain.high)
    for label in level.labels:
        counted = len(level.behind(label)) + len(level.ahead(label))
        assert counted == sum(each.differs for each in level.pairs if label in (each.a, each.b))
    (one,) = rank_all(runs, "spsa")
    assert {(each.a == "spsa") + (each.b == "spsa") for each in one.pairs} == {1}


def test_a_mean_is_that_of_the_runs_that_all_optimizers_have(runs: list[StoredRun]) -> None:
    half = [run for run in runs if (run.label, run.config.seed) != ("spsa", 1)]
    (level,) = rank_all(half)
    for label in level.labels:
        (first,) = (each for each in runs if (each.label, each.config.seed) == (label, 0))
        assert level.fpq[label] == first.fpq


def test_runs_without_a_part_in_the_means_are_named(runs: list[StoredRun]) -> None:
    half = [run for run in runs if (run.label, run.config.seed) != ("spsa", 1)]
    stopped = pretended(half[0], status=RunStatus.INTERRUPTED)
    named = unranked([*half, stopped], rank_all(half))
    assert [sentence.split(":")[0] for sentence in named] == [
        "left out 1 run (random)",
        "left out 2 runs (adam)",
        "left out 2 runs (random, zo-sgd)",
    ]
    whole = [run for run in runs if run.label != "adam"]
    assert unranked(whole, rank_all(whole)) == []


def test_optimizers_without_a_shared_problem_are_not_ranked(
    runs: list[StoredRun], capsys: pytest.CaptureFixture[str]
) -> None:
    apart = [run for run in runs if (run.label, run.config.seed) in (("random", 0), ("spsa", 1))]
    with pytest.raises(
        ConfigError, match=r"of (random|spsa), (random|spsa), no two of a level have"
    ):
        rank_all(apart)
    with pytest.raises(ConfigError, match="random and no other have"):
        rank_all(apart, "random")
    both = [run for run in runs if run.label == "zo-sgd"]
    (level,) = rank_all([*apart, *both])
    assert not level.all_share
    assert level.without_shared("random") == ["spsa"]
    assert level.without_shared("zo-sgd") == []
    print_ranking([level], as_json=False)
    said = capsys.readouterr().out
    assert "none is shared by all" in said
    rows = {line.split()[0]: line.split() for line in said.splitlines() if " [" in line}
    assert sum(int(each) for each in rows["random"][-3:]) == 1  # zo-sgd
    assert re.search("(random|spsa) shares no problem and seed with (random|spsa)\n", said)


@pytest.mark.parametrize("reference", [None, "random"])
def test_no_number_is_cut_at_80_columns_and_pairs_are_those_that_were_tested(
    runs: list[StoredRun], reference: str | None
) -> None:
    settings = {"optimizer": {"momentum": 0.95, "samples": 12, "step": 0.015}}
    parameters = {**runs[2].manifest.parameters, **settings}
    changed = {"overrides": settings, "space": "lowres:14"}
    long = pretended(runs[2], config=changed, parameters=parameters)
    assert len(long.label) > 40
    levels = rank_all([runs[0], long], reference)
    console = Console(file=io.StringIO(), width=80)
    print_ranking(levels, as_json=False, console=console)
    said = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in said
    for estimate in levels[0].fpq.values():
        assert f"{round(estimate.value, 2) + 0.0:.2f}" in said
        assert f"[{round(estimate.low, 2) + 0.0:.2f}, {round(estimate.high, 2) + 0.0:.2f}]" in said
    wanted = (
        "for all pairs of a level" if reference is None else "for all pairs with random of a level"
    )
    assert wanted in " ".join(said.split())
    assert (reference is not None) == ("Gains are over random" in said)


def test_a_ranking_computes_no_metric_that_it_does_not_show(
    runs: list[StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    monkeypatch.setattr(Resamples, "of", lambda _, metric, row: computed.append(metric.name))
    (level,) = rank_all([zobench.show(each.run_dir) for each in runs])
    assert len(level.labels) == 3
    assert not computed


def test_nothing_to_rank_says_what_is_there(runs: list[StoredRun]) -> None:
    with pytest.raises(ConfigError, match=r"nothing to rank.*runs of: adam$"):
        rank_all([each for each in runs if each.label == "adam"])


def test_the_only_optimizer_of_its_level_is_named_beside_those_of_others(
    runs: list[StoredRun],
) -> None:
    with pytest.raises(ConfigError, match=r"adam is the only optimizer .*random \(value\), spsa"):
        rank_all(runs, "adam")


def test_holm_by_hand_and_between_its_bounds() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm 1979
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    found = holm([0.2, math.nan, 0.01])
    assert found[0] == pytest.approx(0.2)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.02)
    drawn = np.random.default_rng(0).random(20) ** 3
    adjusted = np.array(holm(drawn.tolist()))
    assert (adjusted <= np.minimum(1, 20 * drawn) + 1e-12).all()  # never above Bonferroni's
    assert (adjusted >= false_discovery_control(drawn) - 1e-12).all()  # never below Benjamini's
