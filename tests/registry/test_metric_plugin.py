"""The metric of a plugin package appears in every output that shows metrics."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import run_command
from tiny import SIZES, run, tiny_registry, write_suite

import zobench
from zobench.testing.projects import as_if_installed

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-metric.md"
NAME, HEADING = "calls", "called"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package of the how-to, made from its code blocks."""
    folder = tmp_path_factory.mktemp("project")
    (code,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), flags=re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", HOW_TO.read_text(), flags=re.DOTALL)
    (folder / "zobench_selection.py").write_text(code)
    (folder / "pyproject.toml").write_text(toml)
    with as_if_installed(folder):
        yield folder


@pytest.fixture(scope="module")
def runs(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for optimizer in ("random", "adam"):
        run(folder, tiny_registry(), optimizer=optimizer, overrides=SIZES)
    return folder


def typed(*arguments: str, cwd: Path) -> str:
    """Runs a command in a new process, which finds the package as if it were installed."""
    done = run_command(*arguments, cwd=cwd, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    return done.stdout


def the_run(runs: Path, optimizer: str) -> Path:
    (folder,) = runs.glob(f"*-{optimizer}-*")
    return folder


def test_lists_tables_and_json_have_it(runs: Path, tmp_path: Path) -> None:
    assert NAME in typed("list", "metrics", cwd=tmp_path)
    assert "how often the disease is predicted" in typed("list", "metrics", NAME, cwd=tmp_path)
    folder = str(the_run(runs, "adam"))
    assert HEADING in typed("show", folder, cwd=tmp_path)
    assert HEADING in typed("show", str(runs), cwd=tmp_path)
    found: dict[str, Any] = json.loads(typed("show", folder, "--json", cwd=tmp_path))
    assert set(found["scores"][-1][NAME]) == {"value", "low", "high"}
    (line, _) = json.loads(typed("show", str(runs), "--json", cwd=tmp_path))
    assert line[NAME] is not None


def test_tables_of_several_runs_keep_the_accuracy_beside_it(
    tiny_installed: None, runs: Path, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path, '"random"', seeds="2")
    words = (("show", str(runs)), ("suite", str(suite), "--out", str(tmp_path / "runs")))
    for command, widths in zip(words, ((150, 200), (80, 100, 120, 200)), strict=True):
        for width in widths:
            said = run_command(*command, cwd=tmp_path, COLUMNS=str(width)).stdout
            (line,) = [each for each in said.splitlines() if "recovery" in each][:1]
            assert "accuracy" in line, width
            assert HEADING in line, width


def test_compare_exports_gate_and_report_have_it(runs: Path, tmp_path: Path) -> None:
    words = ("compare", str(runs), "--a", "random", "--b", "adam", "--margin", f"{NAME}=2")
    assert NAME in typed(*words, cwd=tmp_path)
    typed(*words, "--export", "pairs.csv", cwd=tmp_path)
    with (tmp_path / "pairs.csv").open() as file:
        assert NAME in {row["metric"] for row in csv.DictReader(file)}
    typed("gate", str(runs), "--update", "--margin", f"{NAME}=2", cwd=tmp_path)
    held = json.loads(typed("gate", str(runs), "--json", cwd=tmp_path))
    assert NAME in {check["metric"] for check in held["checks"]}
    typed("report", str(runs), "-o", "page.html", cwd=tmp_path)
    assert f">{HEADING}</button>" in (tmp_path / "page.html").read_text()


def test_a_tracker_and_the_papers_table_have_it(package: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from zobench_plugins.paper.study import table_columns

    from zobench.registry.discovery import load_registry
    from zobench.runs.lifecycle import start_run

    assert HEADING in [each.heading for each in table_columns(load_registry())]
    config = zobench.RunConfig(
        encoder="tiny",
        dataset="tiny",
        disease="spots",
        optimizer="random",
        budget=100,
        batch_size=10,
        replicates=20,
        overrides=SIZES,
    )
    result = start_run(config, tmp_path, registry=tiny_registry(), trackers=["tensorboard"])
    (events,) = (result.run_dir / "tensorboard").glob("events.*")
    assert f"score/{NAME}".encode() in events.read_bytes()
