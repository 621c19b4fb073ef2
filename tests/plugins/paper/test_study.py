"""The command ``zobench paper`` on a tiny dataset, and its parts."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run_command
from PIL import Image
from zobench_plugins.paper.presets import FULL, QUICK
from zobench_plugins.paper.study import Study
from zobench_plugins.paper.table import arrange, markdown

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.registry.discovery import load_registry
from zobench.runs.shared_parts import SharedParts

pytestmark = pytest.mark.usefixtures("tiny_installed")


SPLIT = ("--set", "split.train=60", "--set", "split.test_per_cell=20")


def asked(out: Path, *words: str) -> list[str]:
    command = ["paper", "--out", str(out), "--seeds", "1"]
    return [*command, "--dataset", "tiny", "--encoder", "tiny", *SPLIT, *words]


def paper(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_command(*asked(out, *words))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("paper")
    done = paper(out, "all", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "DNE-GeZO" in done.stdout
    return out


@pytest.mark.lengthy
def test_all_is_made_and_nothing_twice(made: Path) -> None:
    for name in ("fig2a", "fig2b", "fig3", "fig4"):
        assert (made / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(made / f"{name}.png") as picture:
            assert min(picture.size) > 500
    for name in ("table", "universality"):
        for suffix in ("html", "tex", "md", "csv"):
            assert (made / f"{name}.{suffix}").stat().st_size > 200
    answers = {path: path.stat().st_mtime_ns for path in (made / "methods").iterdir()}
    again = paper(made, "table", "--format", "csv")
    assert again.returncode == 0, again.stderr
    assert again.stdout == (made / "table.csv").read_text()
    assert {path: path.stat().st_mtime_ns for path in (made / "methods").iterdir()} == answers


@pytest.mark.lengthy
def test_the_table_has_every_method_on_every_disease(made: Path) -> None:
    rows = list(csv.DictReader((made / "table.csv").read_text().splitlines()))
    assert {(row["method"], row["disease"]) for row in rows} == {
        (method, disease) for method in QUICK.methods for disease in QUICK.diseases
    }
    queries = {row["method"]: float(row["queries"]) for row in rows}
    assert queries["erm"] == queries["group-dro"] == queries["batch-sampling"] == 60
    assert queries["biasadv"] == 60 + 3 * 60 * 3 + 60
    assert queries["dne:gezo"] == 60 + 3200


@pytest.mark.lengthy
def test_noise_is_carried_to_another_encoder(made: Path) -> None:
    done = paper(made, "universality", "--transfer-to", "other", "--format", "csv")
    assert done.returncode == 0, done.stderr
    own, other = done.stdout.split("disease,method,")[1:]
    assert "disease,method," + own == (made / "universality.csv").read_text()
    assert "noise of edema" in other
    assert own.splitlines()[1:] != other.splitlines()[1:]


@pytest.mark.lengthy
def test_the_full_preset_at_reduced_size_with_a_row_of_ones_own(tmp_path: Path) -> None:
    words = ("--preset", "full", "--epochs", "1", "--disease", "spots", "--method", "dne:random")
    command = [
        each.replace("split.train=60", "split.train=80") for each in asked(tmp_path, "table")
    ]
    done = run_command(*command, *words, "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {row["disease"] for row in rows} == {"spots"}
    queries = {row["method"]: float(row["queries"]) for row in rows}
    assert queries["dne:gezo"] == queries["dne:random"] == 80 + 10 * 20 * 64
    assert {row["published"] for row in rows} == {""}


def test_an_infinite_ratio_is_said_to_be_infinite(tmp_path: Path) -> None:
    found = study(tmp_path)
    solved = found.solve(["erm"], found.problems(["edema"]))
    answers = []
    for each in solved:
        calls = np.where(each.test.sensitive == 1, 1.0, -1.0)  # group 0 has no positive calls
        answers.append(replace(each, result=replace(each.result, scores=tuple(calls.tolist()))))
    (entry,) = found.entries(answers)
    assert entry.metrics["di_gap"].value == np.inf
    assert entry.metrics["eo_p"].value == 100
    (block,) = arrange([entry], found.columns)
    assert "| ∞ [" in markdown([block]).replace("**", "").replace("<u>", "").replace("</u>", "")


def test_rows_can_be_left_out_and_their_settings_changed(tmp_path: Path) -> None:
    words = ("--without", "dne:adam", "--without", "dne:gezo", "--set", "method.biasadv.steps=1")
    words += ("--disease", "Spots", "--disease", "spots", "--without", "sketch")
    done = paper(tmp_path, "table", *words, "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {row["disease"] for row in rows} == {"spots"}
    queries = {row["method"]: float(row["queries"]) for row in rows}
    assert list(queries) == ["erm", "group-dro", "batch-sampling", "biasadv", "dne:kalman"]
    assert queries["biasadv"] == 60 + 60 * 3 + 60
    assert {row["seeds"] for row in rows} == {"1"}


def test_wrong_words_are_told_before_anything_runs(
    tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for words, message in (
        (("tabel",), "did you mean 'table'"),
        (("table", "--preset", "fast"), "one of quick, full"),
        (("table", "--format", "pdf"), "one of terminal, html"),
        (("table", "--method", "erms"), "did you mean 'erm'"),
        (("table", "--without", "erms"), "did you mean 'erm'"),
        (("table", "--set", "method.biasadv.stepz=1"), "did you mean 'steps'"),
        (("table", "--transfer-to", "other"), "goes with universality"),
        (("universality", "--transfer-to", "othr"), "did you mean 'other'"),
        (("universality", "--transfer-to", "vit-mae"), "224 x 224"),
        (("table", "--set", "optimizer.lr=1"), "for every row"),
        (("table", "--set", "method.biasadv.steps=-1"), "method.biasadv.steps is '-1'"),
        (
            ("table", "--set", "method.sketch.sketcher=nowhere:draw"),
            "must be xdog or an importable",
        ),
        (("table", "--dry-run", "--set", "method.sketch.sketcher=.x:y"), "must be xdog or an imp"),
    ):
        done = here(*asked(tmp_path / "out", *words))
        assert done.returncode == 2
        assert message in " ".join(done.stderr.split())
        assert not (tmp_path / "out").exists()
    done = here("paper", "table", "--out", "s3://bench/paper")
    assert done.returncode == 2
    assert "must be a folder" in done.stderr


def test_a_row_that_needs_gradients_is_refused_before_a_service_is_reached(
    tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    nobody = ("--encoder", "http:oip", "--set", "encoder.url=http://127.0.0.1:9/v2/models/m")
    out = ("--dataset", "tiny", *SPLIT, "--out", str(tmp_path / "out"))
    for words in ((), ("--dry-run",), ("--without", "dne:gezo")):
        done = here("paper", "table", "--without", "dne:adam", *nobody, *out, *words)
        assert done.returncode == 2
        assert "method biasadv needs gradients, which encoder 'http:oip'" in done.stderr
        assert "leave it out (--without biasadv)" in " ".join(done.stderr.split())
        assert not (tmp_path / "out").exists()
    words = ("--without", "dne:adam", "--without", "biasadv", "--dry-run")
    done = here("paper", "table", *words, *nobody, *out)
    assert done.returncode == 0, done.stderr


def test_a_forecast_names_the_rows_that_it_does_not_count(
    tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    leaving = ("--without", "dne:gezo", "--without", "sketch", "--dry-run")
    for product, words, said in (
        ("table", leaving, "without the rows erm, group-dro, batch-sampling, biasadv, which"),
        ("fig2a", ("--dry-run",), "without the rows erm, which"),
        ("fig3", ("--dry-run",), ""),
    ):
        done = here(*asked(tmp_path / "out", product, *words))
        assert done.returncode == 0, done.stderr
        shown = " ".join(done.stdout.split())
        assert said in shown
        assert ("without the rows" in shown) == bool(said)
        assert not (tmp_path / "out").exists()


def study(tmp_path: Path, **changes: object) -> Study:
    base = RunConfig(
        dataset="tiny",
        encoder="tiny",
        replicates=50,
        overrides={"split": {"train": 60, "test_per_cell": 20}},
    )
    preset = replace(QUICK, seeds=2, **changes)
    return Study(preset, base, tmp_path, SharedParts(load_registry(), Silence()))


def test_a_larger_r_costs_more_and_ten_is_the_tables_own(tmp_path: Path) -> None:
    found = study(tmp_path)
    runs = found.iteration_runs()
    per_epoch = 2 * 10 * QUICK.batch_size
    assert [runs[r][0].budget for r in runs] == [r * per_epoch for r in runs]
    assert runs[10][0] in found.table_runs()
    penalties = found.penalty_runs()
    assert [configs[0].penalty for configs in penalties.values()] == list(penalties)
    assert penalties[0.01][0] in found.table_runs()


def test_full_is_what_the_paper_says() -> None:
    config = FULL.config(RunConfig(dataset="chexpert"), "pneumonia", 0)
    assert config.budget == 50 * 10 * 20 * 64
    assert config.heads == "paper"
    assert config.overrides["split"] == {"test_per_cell": 100, "bias": "amplified"}
    edema = FULL.config(RunConfig(), "edema", 0)
    assert edema.overrides["split"] == {"test_per_cell": 200, "bias": "amplified"}


def test_means_and_universality(tmp_path: Path) -> None:
    found = study(tmp_path, diseases=("edema", "pneumonia"), methods=("erm", "dne:adam"))
    problems = found.problems()
    solved = found.solve(["erm"], problems)
    (edema, pneumonia) = found.entries(solved)
    accuracy = next(each for each in found.columns if each.name == "accuracy")
    values = [each.values(accuracy)[0] for each in solved if each.config.disease == "edema"]
    assert edema.metrics["accuracy"].value == pytest.approx(np.mean(values))
    assert (edema.seeds, pneumonia.disease) == (2, "pneumonia")
    matrix = {(each.method, each.disease): each for each in found.universality(problems)}
    own = found.entries(found.solve(["dne:adam"], problems))
    for each in own:
        carried = matrix[f"noise of {each.disease}", each.disease]
        assert carried.metrics["eo_p"].value == each.metrics["eo_p"].value
    assert len(matrix) == 2 * 3
