"""``zobench run`` in a process of its own: its JSON, its progress, and the same run from Python."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

from commands import InProcess, run_command

SMALL = [
    *("--budget", "64", "--batch-size", "16", "--snapshots", "1", "--replicates", "20"),
    *("--set", "split.train=40", "--set", "split.test_per_cell=10"),
]
GEZO = [*SMALL, "--set", "optimizer.samples=1", "--set", "encoder.chunk=16"]
typed_in = partial(run_command, timeout=200)


def test_a_run_prints_one_json_object_and_show_prints_it_again(
    tmp_path: Path, here: InProcess
) -> None:
    done = typed_in("run", *GEZO, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "done"
    assert found["ledger"]["optimize"]["queries"] == 64
    assert [score["queries"] for score in found["scores"]] == [0, 64]
    again = here("show", found["run_dir"], "--json")
    assert json.loads(again.stdout) == found
    table = here("show", found["run_dir"])
    for word in ("ERM", "FPQ", "ledger", "recovery", f"zobench show {found['run_dir']}"):
        assert word in table.stdout
    assert "\x1b" not in table.stdout + done.stderr


def test_the_version_is_that_of_the_installed_distribution(here: InProcess) -> None:
    done = here("--version")
    assert done.returncode == 0
    assert done.stdout == f"zobench {importlib.metadata.version('zobench')}\n"


def test_progress_without_a_terminal_says_nothing_twice(tmp_path: Path) -> None:
    done = typed_in("run", *GEZO, "--out", "runs", cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("  score: ")]
    assert lines
    told = [re.sub(r"  [\d,]+/s", "", line) for line in lines]
    assert len(set(told)) == len(told)


def test_from_python_the_same_run_comes_as_typed_objects(tmp_path: Path, here: InProcess) -> None:
    code = (
        "import zobench\n"
        "r = zobench.run(budget=64, batch_size=16, snapshots=1, replicates=20, overrides={\n"
        " 'split': {'train': 40, 'test_per_cell': 10}, 'optimizer': {'samples': 1},\n"
        " 'encoder': {'chunk': 16}})\n"
        "print(r.scores[-1].metrics['eo_p'].value)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (folder,) = (tmp_path / "runs").iterdir()
    shown = json.loads(here("show", str(folder), "--json").stdout)
    assert float(done.stdout) == shown["scores"][-1]["eo_p"]["value"]
