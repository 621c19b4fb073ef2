"""The commands ``zobench compare`` and ``zobench gate`` on real run folders."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest
from commands import run_command
from tiny import SIZES, run

from zobench.files.json_files import read_json, write_json

ADAM = {"optimizer": "adam", "overrides": {**SIZES, "optimizer": {"lr": 0.02}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compared")
    for seed in range(3):
        run(path / "runs", optimizer="random", overrides=SIZES, seed=seed)
        run(path / "runs", **ADAM, seed=seed)
        run(path / "worse", **ADAM, seed=seed)
    return path


def zobench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_command(*words, cwd=folder)


def test_compare_says_it_in_a_sentence_in_json_and_in_a_table(folder: Path) -> None:
    words = ("compare", "runs", "--a", "random", "--b", "adam lr=0.02")
    said = zobench(folder, *words, "--export", "pairs.csv")
    assert said.returncode == 0, said.stderr
    assert "A: random (value)   B: adam lr=0.02 (gradient)" in said.stdout
    assert "eo_p (%)" in said.stdout
    assert "fpq (" not in said.stdout  # a share of 1
    found = json.loads(zobench(folder, *words, "--json", "--margin", "fpq=0.5").stdout)
    assert found["verdict"].split(":")[1].strip() in said.stdout
    assert found["metrics"]["fpq"]["margin"] == 0.5
    assert len(found["pairs"]) == 3
    with (folder / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(found["metrics"])
    fpq = [float(each["value_b"]) for each in rows if each["metric"] == "fpq"]
    assert sum(fpq) / 3 == pytest.approx(found["metrics"]["fpq"]["b"]["value"])
    again = zobench(folder, *words, "--export", "pairs.csv")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert zobench(folder, *words, "--export", "pairs.csv", "--force").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("compare", "nowhere", "runs"),
            "nowhere is no run folder and holds none: there is no such folder",
        ),
        (("compare", "runs", "--a", "gezo"), "there are: adam lr=0.02, random"),
        (
            ("compare", "runs", "--a", "random", "--b", "method:rewieghing"),
            "did you mean 'reweighing'",
        ),
        (("compare", "runs", "runs", "--margin", "fqp=1"), "did you mean 'fpq'"),
        (("compare", "runs", "runs", "--margin", "fpq=-1"), "of at least 0"),
        (("compare", "runs", "--export", "x.xls"), "must end in .csv or .parquet"),
        (("compare", "runs", "--a", "method:reweighing"), "--a method:reweighing --b LABEL"),
        (("compare", "runs", "runs", "--force"), "together with --export"),
        (
            ("compare", "runs", "runs", "--margin", "fpq=1", "--margin", "fpq=2"),
            "--margin fpq is given twice",
        ),
        (("gate", "runs", "--update", "--baseline", "no/base.json"), "no is not a folder"),
        (("gate", "runs"), "write one with --update"),
        (("gate", "runs", "--margin", "fpq=1"), "together with --update"),
    ],
)
def test_mistakes_get_one_message(folder: Path, words: tuple[str, ...], message: str) -> None:
    done = zobench(folder, *words)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_method_is_compared_in_the_runs_that_are_meant(folder: Path) -> None:
    sides = ("--a", "method:reweighing", "--b", "adam", "--where", "feedback=gradient")
    done = zobench(folder, "compare", "runs", *sides, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["a"] == "method:reweighing"


def test_the_gate_holds_for_its_own_runs_and_fails_for_worse_ones(folder: Path) -> None:
    written = zobench(folder, "gate", "runs", "--update", "--margin", "recovery=0.05")
    assert written.returncode == 0, written.stderr
    held = zobench(folder, "gate", "runs")
    assert held.returncode == 0
    assert "passed: 8 numbers hold" in held.stdout
    baseline = read_json(folder / "baseline.json")
    assert baseline["margins"]["recovery"] == 0.05
    for row in baseline["rows"]:
        for seed in row["metrics"]["accuracy"]["values"]:
            row["metrics"]["accuracy"]["values"][seed] += 9
    write_json(folder / "better.json", baseline)
    failed = zobench(folder, "gate", "runs", "--baseline", "better.json")
    assert failed.returncode == 1
    assert "failed: 2 of 8 numbers" in failed.stdout
    assert "-9.0 ±" in failed.stdout
    table = zobench(folder, "gate", "runs", "--baseline", "better.json", "--markdown").stdout
    assert table.startswith("**failed: 2 of 8")
    assert "| **fell** |" in table
    found = json.loads(
        zobench(folder, "gate", "runs", "--baseline", "better.json", "--json").stdout
    )
    assert found["passed"] is False
    (folder / "notes[1].md").write_text("not to be lost")
    refused = zobench(folder, "gate", "runs", "--update", "--baseline", "notes[1].md")
    assert refused.returncode == 2
    assert "notes[1].md is no baseline" in refused.stderr
    assert (folder / "notes[1].md").read_text() == "not to be lost"
    other = zobench(folder, "gate", "runs", "--update", "--baseline", "base[final].json")
    assert "wrote base[final].json" in other.stdout
    assert "gone" not in other.stdout
    fewer = ("--update", "--baseline", "base[final].json", "--where", "label=random")
    assert (
        "without runs, and gone: adam lr=0.02 on" in zobench(folder, "gate", "runs", *fewer).stdout
    )
    missing = zobench(folder, "gate", "worse")
    assert missing.returncode == 1
    assert "missing" in missing.stdout
