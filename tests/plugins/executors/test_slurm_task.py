"""The callable of a SLURM job, whose process submitit ends amid a run; no SLURM is needed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from tiny import config
from zobench_plugins.executors.slurm import Task

from zobench.files.json_files import read_json, write_json
from zobench.suite import work
from zobench.suite.planning import Job


@contextmanager
def taken_away(task: Task) -> Iterator[None]:
    """On SIGUSR2 does what submitit's handler does: it requeues the task, then ends the process."""

    def end(number: int, frame: FrameType | None) -> None:
        task.checkpoint()
        sys.exit(-1)

    before = signal.signal(signal.SIGUSR2, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_job_that_is_requeued_amid_a_run_leaves_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "outcome.json"
    write_json(told, {"state": "failed", "error": "of the task before"})
    job = Job(config("random"), tmp_path / "runs" / "one", "one")
    task = Task(job, told, 1)
    carry_out = work.carry_out
    monkeypatch.setattr(work, "carry_out", lambda *_, **__: os.kill(os.getpid(), signal.SIGUSR2))
    with taken_away(task), pytest.raises(SystemExit):
        task()
    assert not told.exists()
    monkeypatch.setattr(work, "carry_out", carry_out)
    task()
    assert read_json(told)["state"] == "done"
