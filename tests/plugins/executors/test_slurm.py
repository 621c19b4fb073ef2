"""Suites on a real SLURM of one node: arrays, time-outs, preemption, failures, cancelling."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_node import SlurmNode, slurm_node, why_not
from twins import same_runs

from zobench.records import layout, standing
from zobench.records.manifest import read_manifest

REASON = why_not()
pytestmark = [pytest.mark.lengthy, pytest.mark.skipif(bool(REASON), reason=REASON)]
Write = Callable[..., Path]

LOST = "ArithmeticError: lost my way, raised by Troubled.tell (zobench_tiny.py, line "


@pytest.fixture(scope="module")
def node() -> Iterator[SlurmNode]:
    with slurm_node() as found:
        yield found


def suite_command(suite: Path, out: Path, *more: str) -> list[str]:
    words = ["suite", str(suite), "--out", str(out), *more]
    return [sys.executable, "-m", "zobench", *words]


def on_slurm(node: SlurmNode, suite: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    words = suite_command(suite, out, "--executor", "slurm", *more)
    return subprocess.Popen(
        words,
        env={**node.environment, "PYTHONPATH": os.environ["PYTHONPATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def jobs(node: SlurmNode) -> list[tuple[str, str]]:
    rows = node.ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
    return [(row.split()[0], row.split()[1]) for row in rows]


def wait_for(holds: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_one_array_carries_a_suite_and_a_failure_cancels_nobody(
    node: SlurmNode, suite_file: Write, tmp_path: Path
) -> None:
    faulty = '{name = "troubled", set = {fails_at = 3}}'
    suite, out = suite_file(faulty, '"random"', '"gezo"'), tmp_path / "slurm"
    begun = on_slurm(node, suite, out, "--partition", "main", "--array-max", "2", "--json")
    said, told = begun.communicate(timeout=240)
    assert begun.returncode == 4, told
    states = {run["config"]["optimizer"]: run for run in json.loads(said)["runs"]}
    assert states["troubled"]["status"] == "failed"
    assert states["troubled"]["error"].startswith(LOST)
    arrays = {path.name.partition("_")[0] for path in (out / ".submitit").glob("*_*_log.out")}
    assert len(arrays) == 1
    subprocess.run(
        suite_command(suite, tmp_path / "here", "--cpus-per-run", "1"),
        capture_output=True,
        timeout=240,
    )
    done = [each for each in layout.run_folders(out) if standing.is_done(each)]
    assert len(done) == 4
    for each in (*layout.run_folders(out), *layout.run_folders(tmp_path / "here")):
        if not standing.is_done(each):
            (each / layout.MANIFEST).unlink()
    assert len(same_runs(tmp_path / "here", out)) == 4


@pytest.mark.parametrize("way", ["time is up", "preempted", "killed"])
def test_a_job_that_is_taken_away_goes_on_where_it_was(
    node: SlurmNode, suite_file: Write, tmp_path: Path, way: str
) -> None:
    slow = '{name = "troubled", set = {pause = 0.2}}'
    suite, out = suite_file(slow, seeds="1"), tmp_path / "slurm"
    begun = on_slurm(node, suite, out, "--json")
    wait_for(lambda: list(out.glob(".attempts/*/*/*/checkpoint/*")))
    ((name, _),) = jobs(node)
    if way == "time is up":  # SLURM sends SIGUSR2 some time before the limit
        node.ask("scancel", "--signal=USR2", name)
        wait_for(lambda: (name, "PENDING") in jobs(node))
        # SLURM delays a requeued job by two minutes
        node.ask("scontrol", "update", f"JobId={name}", "StartTime=now")
    elif way == "preempted":  # SLURM sends SIGTERM first; the run saves its state and the job ends
        node.ask("scancel", "--signal=TERM", name)
    else:
        (worker,) = subprocess.run(
            ["pgrep", "-f", "submitit.core._submit.*" + str(out)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[-1:]
        os.kill(int(worker), signal.SIGKILL)
    _, told = begun.communicate(timeout=300)
    assert begun.returncode == 0, told
    (run,) = layout.run_folders(out)
    assert read_manifest(run).resumed >= 1
    subprocess.run(
        suite_command(suite, tmp_path / "here", "--cpus-per-run", "1"), check=True, timeout=240
    )
    assert len(same_runs(tmp_path / "here", out)) == 1


def test_a_stop_cancels_the_array_and_saves_what_runs(
    node: SlurmNode, suite_file: Write, tmp_path: Path
) -> None:
    endless = '{name = "troubled", set = {pause = 1.0, candidates = 1}}'
    suite, out = suite_file(endless, seeds="6"), tmp_path / "slurm"
    begun = on_slurm(node, suite, out, "--json")
    wait_for(lambda: list(out.glob(".attempts/*/*/*/checkpoint/*")))
    begun.terminate()
    _, told = begun.communicate(timeout=120)
    assert begun.returncode == 130, told
    wait_for(lambda: not jobs(node))
    saved = [read_manifest(each).status for each in layout.run_folders(out)]
    assert "interrupted" in saved
    assert set(saved) == {"interrupted"}


def test_a_partition_that_is_not_there_is_an_error(
    node: SlurmNode, suite_file: Write, tmp_path: Path
) -> None:
    begun = on_slurm(node, suite_file('"random"'), tmp_path / "slurm", "--partition", "nowhere")
    _, told = begun.communicate(timeout=120)
    assert begun.returncode == 3
    assert "invalid partition" in told
    assert "Traceback" not in told
