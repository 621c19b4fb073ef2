"""``zobench suite``: runs what is missing of a suite file, with a table of all runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, Interrupted
from .board import LineBoard, LiveBoard
from .console import ConsoleListener, error_console, output_console, unechoed_keys
from .many_tables import print_suite

if TYPE_CHECKING:
    from ..suite.planning import Job
    from ..suite.running import Running


def run_suite_file(path: Path, out: Path, jobs: int, trackers: list[str], as_json: bool) -> bool:
    """Plans, runs and prints a suite; whether all of it is done.

    Raises:
        ConfigError: The file is wrong.
        Interrupted: The user asked to stop.
    """
    from ..plugins import load_registry
    from ..suite.file import read_suite
    from ..suite.planning import plan
    from ..trackers import make_trackers

    if jobs < 1:
        raise ConfigError(f"--jobs is {jobs}, but must be at least 1")
    suite = read_suite(path)
    with ConsoleListener() as listener:
        registry = load_registry()
        make_trackers(trackers, registry, out, listener)  # so that what is missing is told now
        planned = [
            replace(job, trackers=tuple(trackers))
            for job in plan(suite, path, out, registry, listener)
        ]
    running = run_planned(planned, jobs)
    if as_json:
        print(json.dumps(as_dict(suite.name, running), allow_nan=False))
    else:
        print_suite(suite.name, running, out, output_console())
    if running.those("interrupted"):
        raise Interrupted(
            f"stopped; everything so far is saved. The same command goes on: {len(planned)} runs, "
            f"{len(running.those('done'))} done"
        )
    return not running.those("failed")


def run_planned(planned: list[Job], jobs: int) -> Running:
    """Runs what is missing on this machine, with a board of all runs."""
    from ..signals import stop_on_signal
    from ..suite.executors import LocalExecutor
    from ..suite.running import run_jobs

    executor = LocalExecutor(jobs)
    try:
        with _board(jobs) as board, stop_on_signal(board) as stopped:
            return run_jobs(planned, executor, board, stopped)
    finally:
        executor.close()


@contextmanager
def _board(jobs: int) -> Iterator[LiveBoard | LineBoard]:
    console = error_console()
    if not console.is_terminal:
        yield LineBoard(console)
        return
    with unechoed_keys(), LiveBoard(jobs) as board:
        yield board


def as_dict(name: str, running: Running) -> dict[str, Any]:
    """For ``--json``: every run with its folder, how it stands, and its headline."""
    from ..results import read_result

    rows = []
    for job, standing in running.standings.items():
        row: dict[str, Any] = {
            "run_dir": str(job.folder),
            "identity": job.identity,
            "status": standing,
            "config": job.config.as_dict(),
        }
        if standing == "done":
            found = read_result(job.folder).as_dict()
            row |= {key: found[key] for key in ("fpq", "recovery", "ledger")}
        if job in running.errors:
            row["error"] = running.errors[job]
        rows.append(row)
    return {"name": name, "runs": rows}
