"""``zobench suite``: runs what is missing of a suite file, with a table of all runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zobench.contracts.executor import DEFAULT, Resources
from zobench.errors import Interrupted

from .board import LineBoard, LiveBoard
from .console import ConsoleListener, error_console, output_console, unechoed_keys
from .many_tables import print_suite

if TYPE_CHECKING:
    from zobench.contracts.executor import Executor
    from zobench.registry.discovery import Registry
    from zobench.suite.planning import Job
    from zobench.suite.running import Running


@dataclass(frozen=True)
class Engine:
    """Which executor the user wants, as typed.

    Attributes:
        name: As registered.
        jobs: Runs at a time; ``None`` to leave it to the executor.
        resources: Of each run.
        settings: Parameters of the executor.
    """

    name: str = DEFAULT
    jobs: int | None = None
    resources: Resources = field(default_factory=Resources)
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_suite_file(
    path: Path, out: str, engine: Engine, trackers: list[str], as_json: bool
) -> bool:
    """Plans, runs and prints a suite; whether all of it is done.

    Raises:
        ConfigError: The file is wrong.
        ExecutorError: The engine is not as it must be, or is gone.
        Interrupted: The user asked to stop.
    """
    from zobench.contracts.tracker import make_trackers
    from zobench.records.urls.copies import fetch, is_url, local_folder
    from zobench.registry.discovery import load_registry
    from zobench.suite.file import Problems, read_suite
    from zobench.suite.planning import plan

    problems = Problems()
    suite = read_suite(path, problems)
    folder = local_folder(out)
    url = out.rstrip("/") if is_url(out) else ""
    with ConsoleListener() as listener:
        registry = load_registry()
        registry.find("executors", engine.name)
        if url:
            listener.phase(f"read {url}", 0)
            fetch(out)
        make_trackers(trackers, registry, folder, listener)  # so that what is missing is told now
        planned = [
            replace(job, trackers=tuple(trackers), url=url)
            for job in plan(suite, path, folder, registry, listener, problems)
        ]
    running = run_planned(planned, engine, registry, folder)
    if url:
        fetch(out)  # what other machines have published
    if as_json:
        print(json.dumps(as_dict(suite.name, running), allow_nan=False))
    else:
        print_suite(suite.name, running, out, output_console())
    if running.unfinished:
        raise Interrupted(
            f"stopped; everything so far is saved. The same command goes on: {len(planned)} runs, "
            f"{len(running.those('done'))} done"
        )
    return not running.those("failed")


def run_planned(planned: list[Job], engine: Engine, registry: Registry, out: Path) -> Running:
    """Runs what is missing, with a board of all runs; no engine is started for nothing."""
    from zobench.contracts.executor import ExecutorRequest
    from zobench.runs.signals import stop_on_signal
    from zobench.suite.running import Running, run_jobs

    if all(job.done for job in planned):
        return Running(planned)
    console = error_console()
    request = ExecutorRequest(
        out=out,
        shared=not any(job.url for job in planned),
        jobs=engine.jobs,
        resources=engine.resources,
        distributions=registry.distributions(),
        note=lambda text: console.print(text, markup=False),
    )
    offer, _ = registry.find("executors", engine.name)
    executor: Executor = offer.plugin.make(request, engine.settings, "executor")
    try:
        with _board(executor) as board, stop_on_signal(board) as stopped:
            return run_jobs(planned, executor, board, stopped)
    finally:
        executor.close()


@contextmanager
def _board(executor: Executor) -> Iterator[LiveBoard | LineBoard]:
    console = error_console()
    if not console.is_terminal:
        yield LineBoard(console)
        return
    with unechoed_keys(), LiveBoard(executor.progress) as board:
        yield board


def as_dict(name: str, running: Running) -> dict[str, Any]:
    """For ``--json``: every run with its folder, how it stands, and its headline."""
    from zobench.records.result import read_result

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
