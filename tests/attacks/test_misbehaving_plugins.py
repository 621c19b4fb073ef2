"""Plugins that do to their process what no plugin should do: other runs never notice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import run_command
from forged import rewritten_trace
from twins import same_runs

from zobench.files.json_files import read_json
from zobench.files.row_files import read_rows
from zobench.records import layout
from zobench.records.stored_run import StoredRun
from zobench.runs.replay import replay_run

pytestmark = pytest.mark.usefixtures("tiny_installed")

Write = Callable[..., Path]
HARMLESS = (
    "float16",
    "float64",
    "rng",
    "time",
    "chdir",
    "environment",
    "thread",
    "process",
    "print",
)
RAISED = ("SystemExit", "KeyboardInterrupt", "GeneratorExit")
MADE = ("made SystemExit", "made KeyboardInterrupt")
"""Raised by the constructor, which also runs while the suite is planned."""
FAILED = 4
"""The exit code of an exception in a plugin."""


def zobench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a real process, which has to end by itself."""
    return run_command(*words, cwd=folder)


def vandals(deeds: Sequence[str]) -> list[str]:
    return [f'{{name = "vandal", set = {{deed = "{deed}"}}}}' for deed in deeds]


def test_one_plugin_spoils_no_other_run_of_its_suite(suite_file: Write, tmp_path: Path) -> None:
    others = ['"random"', '"gezo"', '"adam"']
    deeds = [*vandals(HARMLESS), *vandals(RAISED), *vandals(MADE), *vandals(["exit"])]
    alone = suite_file(*others, name="alone.toml")
    done = zobench(tmp_path, "suite", str(alone), "--out", "alone")
    assert done.returncode == 0, done.stderr
    beside = suite_file(*deeds[:5], *others, *deeds[5:], name="beside.toml", seeds="2")
    done = zobench(tmp_path, "suite", str(beside), "--out", "beside", "--jobs", "2", "--json")
    assert done.returncode == FAILED, done.stderr
    assert "Traceback" not in done.stderr

    listed = json.loads(done.stdout)["runs"]  # nothing that a plugin printed is in between
    by_deed = {
        each["config"]["overrides"]["optimizer"]["deed"]: each
        for each in listed
        if each["config"]["optimizer"] == "vandal"
    }
    assert {deed: by_deed[deed]["status"] for deed in HARMLESS} == dict.fromkeys(HARMLESS, "done")
    for deed in RAISED:
        assert by_deed[deed]["status"] == "failed"
        assert f"{deed}: " in by_deed[deed]["error"] or f"{deed}, raised" in by_deed[deed]["error"]
        assert "raised by Vandal.tell" in by_deed[deed]["error"]
        trace = (tmp_path / by_deed[deed]["run_dir"] / layout.TRACEBACK).read_text()
        assert trace.splitlines()[-1].startswith(deed)
    for deed in MADE:
        assert by_deed[deed]["status"] == "failed"
        assert "raised by Vandal.__init__" in by_deed[deed]["error"]
    assert "its process died (exit status 0) 3 times" in by_deed["exit"]["error"]

    for folder in sorted((tmp_path / "beside").glob("vandal-*")):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()
    assert len(same_runs(tmp_path / "alone", tmp_path / "beside")) == 6
    assert not sleeping(), "a process that a plugin has started is still there"


def sleeping() -> list[str]:
    found = subprocess.run(
        ["pgrep", "-x", "-f", "sleep 1000"], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


RUN = [
    *("run", "--encoder", "tiny", "--dataset", "tiny", "--disease", "spots", "--budget", "400"),
    *("--batch-size", "10", "--replicates", "20", "--set", "split.train=120"),
    *("--set", "split.test_per_cell=40", "--optimizer", "vandal", "--json"),
]


@pytest.mark.parametrize("deed", ["thread", "SystemExit"])
def test_a_command_ends_when_its_work_is_done_and_says_how_it_ended(
    deed: str, tmp_path: Path
) -> None:
    done = zobench(tmp_path, *RUN, "--set", f"optimizer.deed={deed}")
    if deed == "thread":
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "done"
        return
    assert done.returncode == FAILED
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert "SystemExit: 0, raised by Vandal.tell" in line
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_json(folder / layout.MANIFEST)["status"] == "failed"
    assert "SystemExit" in (folder / layout.TRACEBACK).read_text()


@pytest.mark.parametrize("name", ["SQP", "Cobyla", "ChainCMAPowell"])
def test_a_strategy_of_nevergrad_that_leaves_a_thread_ends(name: str, tmp_path: Path) -> None:
    words = [each if each != "vandal" else f"nevergrad:{name}" for each in RUN]
    done = zobench(tmp_path, *words, "--space", "lowres:4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"


def test_what_is_recorded_was_taken_before_the_optimizer_held_it(tmp_path: Path) -> None:
    rows: list[Any] = []
    for deed in ("", "rewrite"):
        done = zobench(
            tmp_path,
            *RUN,
            "--record",
            "--out",
            f"runs-{deed}",
            "--set",
            f"optimizer.deed={deed or 'none'}",
        )
        assert done.returncode == 0, done.stderr
        rows.append(
            read_rows(Path(tmp_path / json.loads(done.stdout)["run_dir"], layout.TRACE)).rows
        )
    assert rows[1][0] == rows[0][0]  # the first ask is the same, and so is what was recorded of it
    assert all(row["value_min"] != 0 for row in rows[1])
    (folder,) = (tmp_path / "runs-rewrite").iterdir()
    assert replay_run(folder).same_edit


def test_a_trace_that_somebody_rewrote_with_its_checksums_is_read(tmp_path: Path) -> None:
    """Checksums find accidents; a forger who computes them anew is found by ``zobench verify``."""
    done = zobench(tmp_path, *RUN, "--set", "optimizer.deed=none")
    folder = tmp_path / json.loads(done.stdout)["run_dir"]
    rewritten_trace(folder, lambda rows: [{**row, "value_min": -9.0} for row in rows])
    assert {row["value_min"] for row in StoredRun(folder).trace} == {-9.0}
    assert zobench(tmp_path, "verify", str(folder)).returncode == 1
