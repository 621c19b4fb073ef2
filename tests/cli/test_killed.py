"""A run that is killed several times and resumed equals an undisturbed run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Command, run_command
from safetensors.numpy import load_file

pytestmark = pytest.mark.lengthy

RUN = [
    *("run", "--budget", "480", "--batch-size", "8", "--snapshots", "4", "--replicates", "50"),
    *("--set", "split.train=80", "--set", "split.test_per_cell=20"),
    *("--set", "optimizer.samples=1", "--set", "encoder.chunk=8"),
]
COMPARED = ("trace.jsonl", "edit.npy")


def run_folder(folder: Path) -> Path | None:
    found = list((folder / "runs").glob("*/manifest.json"))
    return found[0].parent if found else None


def kill_when(process: Command, folder: Path, reached: Callable[[Path], bool]) -> None:
    """Sends SIGKILL as soon as the run folder is in the wanted state."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        run = run_folder(folder)
        if run is not None and reached(run):
            process.kill()
            assert process.wait() == -signal.SIGKILL
            return
        if process.poll() is not None:
            errors = process.said()[1]
            pytest.fail(f"the run ended before it could be killed: {errors[-2000:]}")
        time.sleep(0.0005)  # short enough to see a state that lasts a few milliseconds
    process.kill()
    pytest.fail("the wanted state was never reached")


def rows(run: Path) -> int:
    path = run / "trace.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def scored(run: Path) -> int:
    path = run / "scores.json"
    return len(json.loads(path.read_text())["edits"]) if path.exists() else 0


def writing(run: Path) -> bool:
    """Whether the run is writing a checkpoint, and has at least 12 rows."""
    return rows(run) >= 12 and any((run / "checkpoint").glob("*.part"))


def test_after_kill_9_at_several_moments_a_run_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    torn.mkdir()
    typed = [sys.executable, "-m", "zobench", *RUN]
    undisturbed = subprocess.run(typed, cwd=whole, capture_output=True, timeout=400, check=False)
    assert undisturbed.returncode == 0, undisturbed.stderr.decode()

    kill_when(
        Command(*RUN, cwd=torn),
        torn,
        lambda run: (
            (run / "setup.safetensors.part").exists() or (run / "setup.safetensors").exists()
        ),
    )
    folder = run_folder(torn)
    assert folder is not None
    resume = ("resume", str(folder))
    kill_when(Command(*resume, cwd=torn), torn, lambda run: rows(run) >= 1)
    kill_when(Command(*resume, cwd=torn), torn, writing)
    kill_when(Command(*resume, cwd=torn), torn, lambda run: scored(run) >= 2)
    last = run_command(*resume, cwd=torn, timeout=400)
    assert last.returncode == 0, last.stderr

    reference = run_folder(whole)
    assert reference is not None
    for name in COMPARED:
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    clean = [load_file(each / "setup.safetensors")["clean"] for each in (folder, reference)]
    assert np.array_equal(*clean)
    snapshots = sorted(path.name for path in (reference / "snapshots").iterdir())
    assert sorted(path.name for path in (folder / "snapshots").iterdir()) == snapshots
    for name in snapshots:
        found = (folder / "snapshots" / name).read_bytes()
        assert found == (reference / "snapshots" / name).read_bytes(), name
    one, two = (json.loads((each / "scores.json").read_text()) for each in (folder, reference))
    assert one["edits"] == two["edits"]
    assert one["counts"] == two["counts"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["resumed"]) == ("done", 4)
