"""The summary line of a run has the same values as its table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import run_command
from tiny import SIZES, run

import zobench
from zobench.errors import NotARunError, StoreError
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.manifest import read_manifest
from zobench.records.stored_run import StoredRun
from zobench.records.summary_line import SummaryLine, reference_lines, summary_line, summary_lines
from zobench.registry.discovery import load_registry


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    folder = tmp_path_factory.mktemp("runs")
    return run(folder, optimizer="adam", overrides={**SIZES, "optimizer": {"lr": 0.05}}, seed=4)


def lines(folder: Path) -> list[SummaryLine]:
    return list(summary_lines(Location(folder), load_registry()))


def test_a_damaged_run_hides_no_others(stored: StoredRun, tmp_path: Path) -> None:
    for name in ("sound", "torn", "broken"):
        shutil.copytree(stored.run_dir, tmp_path / name)
    for name in ("torn", "broken"):
        (tmp_path / name / layout.MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="broken"):
        lines(tmp_path)
    done = run_command("show", str(tmp_path), "--json")
    assert done.returncode == 3
    assert [Path(each["folder"]).name for each in json.loads(done.stdout)] == ["sound"]
    for name in ("torn", "broken"):
        assert f"{tmp_path / name / 'manifest.json'} is damaged" in done.stderr


def test_it_has_the_values_of_the_last_row_of_the_table(stored: StoredRun) -> None:
    found = summary_line(stored)
    last = stored.scores[-1]
    assert stored.fpq is not None
    assert found.values["fpq"] == stored.fpq.value
    assert found.values["recovery"] == last.recovery.value
    for name in ("eo_n", "eo_p", "di_gap_tpr", "accuracy"):
        assert found.values[name] == last.metrics[name].value
    assert (found.optimizer, found.seed, found.spent) == ("adam lr=0.05", 4, 400 - 400 % 30)


def test_a_baseline_that_the_first_run_lacks_is_taken_from_another(tmp_path: Path) -> None:
    names = ["reweighing", "leace"]
    one, other = (
        run(tmp_path, optimizer="random", overrides=SIZES, baselines=name) for name in names
    )
    assert [each.optimizer for each in reference_lines([one, other])] == ["ERM", *reversed(names)]
    alone = reference_lines([other])[-1]
    assert next(e for e in reference_lines([one, other]) if e.optimizer == "leace").values == (
        alone.values
    )


def test_a_run_that_keeps_none_is_computed_and_an_unfinished_one_has_none(
    stored: StoredRun, tmp_path: Path
) -> None:
    for name in ("older", "stopped"):
        shutil.copytree(stored.run_dir, tmp_path / name)
        manifest = read_json(tmp_path / name / layout.MANIFEST)
        del manifest["summary"]
        manifest["status"] = "done" if name == "older" else "interrupted"
        write_json(tmp_path / name / layout.MANIFEST, manifest)
    older, stopped = lines(tmp_path)
    assert older.values == summary_line(stored).values
    assert stopped.values == {}
    assert stopped.spent == older.spent
    with pytest.raises(NotARunError, match="holds none"):
        lines(tmp_path / "older" / "snapshots")
    deep = tmp_path / "project" / "runs"
    shutil.copytree(stored.run_dir, deep / "older")
    with pytest.raises(NotARunError, match=rf"did you mean {deep}\?"):
        lines(deep.parent)
    with pytest.raises(NotARunError, match=rf"name a run folder \(did you mean {deep}\?"):
        read_manifest(deep.parent)


def test_a_metric_that_was_installed_after_the_run_has_a_value(
    stored: StoredRun, tmp_path: Path
) -> None:
    shutil.copytree(stored.run_dir, tmp_path / "older")
    manifest = read_json(tmp_path / "older" / layout.MANIFEST)
    del manifest["summary"]["eo_n"]
    write_json(tmp_path / "older" / layout.MANIFEST, manifest)
    (line,) = lines(tmp_path)
    assert line.values == summary_line(stored).values


def test_a_run_with_an_unknown_field_is_named(stored: StoredRun, tmp_path: Path) -> None:
    shutil.copytree(stored.run_dir, tmp_path / "strange")
    manifest = read_json(tmp_path / "strange" / layout.MANIFEST)
    manifest["config"]["penalti"] = 1.0
    write_json(tmp_path / "strange" / layout.MANIFEST, manifest)
    with pytest.raises(StoreError, match=r"strange/manifest\.json is damaged: .*penalti"):
        lines(tmp_path)


def test_a_folder_of_runs_in_place_of_one_says_how_to_see_their_names(stored: StoredRun) -> None:
    folder = stored.run_dir.parent
    with pytest.raises(NotARunError, match=rf"holds \d+ runs?; .*zobench show {folder} lists"):
        zobench.show(folder)


def test_show_lists_the_runs_of_a_folder(stored: StoredRun) -> None:
    words = ("show", str(stored.run_dir.parent))
    shown = run_command(*words)
    assert shown.returncode == 0, shown.stderr
    assert "adam lr=0.05" in shown.stdout
    as_json = run_command(*words, "--json")
    assert as_json.returncode == 0, as_json.stderr
    (row,) = json.loads(as_json.stdout)
    assert row["recovery"] == stored.recovery
    assert row["folder"] == str(stored.run_dir)


def test_references_are_those_of_the_runs_once_a_seed(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, optimizer=name, seed=seed, overrides=SIZES)
        for name, seed in (("random", 0), ("spsa", 0), ("random", 1))
    ]
    lines = reference_lines(runs)
    assert [line.seed for line in lines if line.optimizer == "ERM"] == [0, 1]
    shown = runs[0].as_dict()
    first = {line.optimizer: line.values for line in lines if line.seed == 0}
    assert first.keys() == {"ERM", *shown["baselines"]}
    for metric in ("eo_n", "eo_p", "accuracy"):
        assert first["ERM"][metric] == pytest.approx(shown["scores"][0][metric]["value"])
        for name, row in shown["baselines"].items():
            assert first[name][metric] == pytest.approx(row[metric]["value"])
    for name, row in shown["baselines"].items():
        assert first[name]["fpq"] == pytest.approx(row["recovery"]["value"])
    assert "fpq" not in first["ERM"]
