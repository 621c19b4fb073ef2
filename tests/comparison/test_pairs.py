"""Comparisons of runs: which runs are paired, which are refused, and the messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pretended import pretended, with_metric
from tiny import SIZES, run

from zobench.comparison.baseline_runs import read_side
from zobench.comparison.pairs import Comparison, compare_runs
from zobench.errors import ConfigError, NotARunError, StoreError
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.comparability import differing_values
from zobench.records.runtime import known_until
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry

BETTER = {"optimizer": "adam", "overrides": {**SIZES, "optimizer": {"lr": 0.02}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of random search and of Adam with three seeds each."""
    path = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        run(path, optimizer="random", overrides=SIZES, seed=seed)
        run(path, **BETTER, seed=seed)
    return path


def read(folder: Path, optimizer: str | None = None) -> list[StoredRun]:
    return read_side(Location(folder), optimizer, load_registry())


def compared(folder: Path, a: str, b: str, **more: Any) -> Comparison:
    return compare_runs(read(folder, a), read(folder, b), **more)


def test_runs_are_paired_by_seed_and_share_their_resamples(folder: Path) -> None:
    found = compared(folder, "random", "adam lr=0.02")
    assert [one.config.seed for one, _ in found.pairs] == [0, 1, 2]
    assert all(one.config.seed == other.config.seed for one, other in found.pairs)
    assert found.left_out == ()
    assert set(found.metrics) == {each.name for each in found.quantities}
    for one, other in found.pairs:
        assert one.results is not None
        assert other.results is not None
        for each in one.metrics:  # ERM is the same for both
            erm = [run.values(each, row=0) for run in (one, other)]
            assert np.array_equal(*erm, equal_nan=True)


def test_the_other_way_round_everything_is_the_other_way_round(folder: Path) -> None:
    there = compared(folder, "random", "adam lr=0.02")
    back = compared(folder, "adam lr=0.02", "random")
    for name, each in there.metrics.items():
        assert back.metrics[name].gain.value == pytest.approx(-each.gain.value)
        assert back.metrics[name].superiority == pytest.approx(1 - each.superiority, abs=0.1)


def test_the_same_run_made_twice_is_the_same_but_one_folder_is_not_compared_with_itself(
    folder: Path, tmp_path: Path
) -> None:
    for seed in range(3):
        run(tmp_path, optimizer="random", overrides=SIZES, seed=seed)
    found = compare_runs(read(folder, "random"), read(tmp_path))
    assert {each.verdict for each in found.metrics.values()} == {"same"}
    assert "A and B have the same fairness per query, to the last digit" in found.verdict
    with pytest.raises(ConfigError, match="is in A and in B"):
        compared(folder, "random", "random")


def test_one_pair_knows_of_patients_only_and_says_so(folder: Path) -> None:
    runs = read(folder)
    mine = [each for each in runs if each.config.seed == 0]
    found = compare_runs(mine[:1], mine[1:])
    assert any("not of other seeds" in note for note in found.notes)
    assert "one seed" in found.verdict


def test_two_suites_are_paired_by_optimizer_too_and_a_seed_is_one_draw(
    folder: Path, tmp_path: Path
) -> None:
    for seed in range(2):
        run(tmp_path, optimizer="random", overrides=SIZES, seed=seed)
        run(tmp_path, **BETTER, seed=seed)
    found = compare_runs(read(folder), read(tmp_path))
    assert len(found.pairs) == 4
    assert len(found.left_out) == 2
    assert all(one.label == other.label for one, other in found.pairs)
    assert found.a == "2 optimizers"
    assert found.seeds == found.metrics["fpq"].gain.seeds == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 800}, "the budget is 400 in one and 800 in the other"),
        ({"penalty": 0.5}, "the penalty is 0.01 in one and 0.5 in the other"),
        ({"heads": "paper"}, "the head protocol is converged in one and paper"),
        ({"replicates": 60}, "number of replicates"),
        (
            {"overrides": {"split": {**SIZES["split"], "train": 100}}},
            f"the set of split parameters is train={SIZES['split']['train']} in one and train=100 in",
        ),
    ],
)
def test_runs_under_other_conditions_are_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    other = run(tmp_path, **{"optimizer": "random", "overrides": SIZES, **change})
    with pytest.raises(ConfigError, match="cannot be compared") as caught:
        compare_runs(read(folder, "random"), [other])
    assert words in str(caught.value)


def test_an_unset_parameter_differs_from_one_that_is_not_there() -> None:
    assert differing_values({"a": None, "b": 1}, {"b": 1}) == ("a=None", "without them")


def test_without_partners_there_is_nothing_to_compare(folder: Path, tmp_path: Path) -> None:
    other = run(tmp_path, optimizer="random", overrides=SIZES, seed=9)
    here = read(folder, "random")
    told = (
        r"and seed; A: tiny/spots tiny seed 0, tiny/spots tiny seed 1, tiny/spots tiny seed 2; B: "
    )
    with pytest.raises(ConfigError, match=rf"nothing to compare: .* {told}tiny/spots tiny seed 9$"):
        compare_runs(here, [other])
    another = pretended(here[0], config={"disease": "another"})
    with pytest.raises(ConfigError, match=rf"{told}tiny/another tiny seed 0$"):
        compare_runs(here, [another])
    unfinished = pretended(here[0], status="interrupted")
    with pytest.raises(ConfigError, match=rf"{told}none$"):
        compare_runs(here, [unfinished])
    both = [other, pretended(other, config={"optimizer": "adam"})]
    told = r"; A: .* seed 0 of adam.*, .* seed 0 of random, .* and 3 more; B: .* of adam, .* of random$"
    with pytest.raises(ConfigError, match=told):
        compare_runs(read(folder), both)
    with pytest.raises(
        ConfigError, match=r"no run of 'gezo' there; there are: adam lr=0\.02, random"
    ):
        read(folder, "gezo")
    with pytest.raises(NotARunError, match="holds none"):
        read(tmp_path / "nowhere")


def test_an_unfinished_run_is_left_out_and_told(folder: Path, tmp_path: Path) -> None:
    for seed in range(2):
        run(tmp_path, **BETTER, seed=seed)
    first = read(tmp_path)[0].run_dir
    manifest = read_json(first / layout.MANIFEST)
    write_json(first / layout.MANIFEST, {**manifest, "status": "interrupted", "files": {}})
    scores = read_json(first / layout.SCORES)
    scores["edits"] = scores["edits"][:3]
    write_json(first / layout.SCORES, scores)
    with (first / layout.TRACE).open("ab") as file:
        file.write(b'{"ask": 99, "quer')  # a row cut off by a crash
    partial = StoredRun(first)
    assert partial.results is not None
    assert known_until(partial) == partial.results.queries[1] < partial.spent <= 400
    found = compare_runs(read(folder, "random"), read(tmp_path))
    assert len(found.pairs) == 1
    assert partial.location in [each.location for each in found.left_out]


def test_a_ratio_that_is_infinite_on_some_patients_has_no_difference(folder: Path) -> None:
    better = read(folder, "adam lr=0.02")
    broken = [with_metric(each, "di_gap", lambda values: values + np.inf) for each in better]
    found = compare_runs(read(folder, "random"), broken)
    assert found.metrics["di_gap"].verdict == "undecided"
    assert np.isnan(found.metrics["di_gap"].gain.value)
    assert np.isfinite(found.metrics["fpq"].gain.value)


def test_a_side_has_its_value_where_only_a_resample_is_infinite(folder: Path) -> None:
    def one_infinite(values: np.ndarray) -> np.ndarray:
        return np.where(np.arange(values.shape[-1]) == 3, np.inf, values)

    better = read(folder, "adam lr=0.02")
    broken = [with_metric(each, "di_gap", one_infinite) for each in better]
    found = compare_runs(read(folder, "random"), broken).metrics["di_gap"]
    whole = compare_runs(read(folder, "random"), better).metrics["di_gap"]
    assert (found.a, found.b.value) == (whole.a, whole.b.value)
    assert np.isnan(found.gain.value)


def test_a_run_that_is_done_without_scores_is_damaged(folder: Path, tmp_path: Path) -> None:
    (run(tmp_path, optimizer="random", overrides=SIZES).run_dir / layout.SCORES).unlink()
    with pytest.raises(StoreError, match=r"scores\.json is missing, although it was stored"):
        _ = read(tmp_path)[0].scores
    (first,) = layout.run_folders(tmp_path)
    manifest = read_json(first / layout.MANIFEST)
    del manifest["config"]
    write_json(first / layout.MANIFEST, manifest)
    with pytest.raises(StoreError, match="has no 'config'"):
        read(tmp_path)


def test_budgets_and_resamples_are_not_mixed_between_pairs(folder: Path, tmp_path: Path) -> None:
    sides = []
    for optimizer in ("random", "adam"):
        first = run(tmp_path, optimizer=optimizer, overrides=SIZES, seed=0)
        longer = run(tmp_path, optimizer=optimizer, overrides=SIZES, seed=1, budget=800)
        sides.append([first, longer])
    with pytest.raises(ConfigError, match="the budget is 400 in one and 800 in the other"):
        compare_runs(*sides)
    sides = []
    for optimizer in ("random", "adam"):
        fewer = run(tmp_path, optimizer=optimizer, overrides=SIZES, seed=5, replicates=30)
        other = run(tmp_path, optimizer=optimizer, overrides=SIZES, seed=5)
        sides.append([fewer, pretended(other, config={"disease": "another"})])
    with pytest.raises(ConfigError, match="number of replicates is 30 in one and 50"):
        compare_runs(*sides)


@pytest.mark.parametrize(
    ("margins", "words"),
    [
        ({"fqp": 0.02}, "there is no metric 'fqp'.*did you mean 'fpq'"),
        ({"fpq": -1.0}, "at least 0"),
    ],
)
def test_a_margin_that_would_be_ignored_is_refused(
    folder: Path, margins: dict[str, float], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        compared(folder, "random", "adam lr=0.02", margins=margins)
