"""Runs a suite: plans every run, carries out the missing runs, and returns all standings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zobench.contracts.listener import Listener, Silence
from zobench.errors import StoreError
from zobench.files.atomic import require_writable
from zobench.files.location import Location
from zobench.records.layout import require_folder_of_runs
from zobench.records.stored_run import StoredRun
from zobench.records.urls.copies import fetch, is_url, local_copy, require_writable_url
from zobench.registry.discovery import Registry, load_registry
from zobench.runs.trackers import make_trackers

from .engine import BoardMaker, Engine, run_planned, silent_board
from .file import Problems, Suite, read_suite
from .planning import plan, tell_of_cuts
from .running import Running, failed


@dataclass(frozen=True, repr=False)
class SuiteResult:
    """The standings of a suite's runs after one call.

    Attributes:
        suite: The suite as declared.
        folder: The folder of run folders.
        running: The standing of each run, and the errors of failed runs.
        registry: The plugins whose metrics are shown.
    """

    suite: Suite
    folder: Location
    running: Running
    registry: Registry

    def __repr__(self) -> str:
        """The suite's name, how many of its runs are done, and where they are."""
        done, count = len(self.running.those("done")), len(self.running.standings)
        return (
            f"SuiteResult({self.suite.name!r}, {done} of {count} runs done, {str(self.folder)!r})"
        )

    @property
    def complete(self) -> bool:
        """Whether every run is done."""
        return len(self.running.those("done")) == len(self.running.standings)

    @property
    def runs(self) -> list[StoredRun]:
        """The runs that are done, in the order of the suite."""
        return [StoredRun(job.location, self.registry) for job in self.running.those("done")]

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON object: every run with its folder, its standing and its result."""
        rows = []
        for job, standing in self.running.standings.items():
            row: dict[str, Any] = {
                "run_dir": str(job.location),
                "identity": job.identity,
                "status": standing,
                "config": job.config.as_dict(),
            }
            if standing == "done":
                result = StoredRun(job.location, self.registry).as_dict()
                row |= {key: result[key] for key in ("fpq", "recovery", "ledger")}
            if job in self.running.errors:
                row["error"] = self.running.errors[job]
            rows.append(row)
        return {"name": self.suite.name, "runs": rows}


def _fail_unreadable(running: Running, registry: Registry) -> None:
    """Counts finished runs with damaged results as failed, so that the others are told."""
    for job in running.those("done"):
        stored = StoredRun(job.location, registry)
        try:
            _ = stored.files.scores, stored.bill
        except StoreError as error:
            running.ended(job, failed(error))


def run_suite_file(
    path: Path,
    out: str | Path,
    engine: Engine,
    *,
    trackers: Sequence[str] = (),
    data_root: Path | None = None,
    registry: Registry | None = None,
    listener: Listener | None = None,
    board_for: BoardMaker = silent_board,
    note: Callable[[str], None] = lambda text: None,
    planned: Callable[[], None] = lambda: None,
) -> SuiteResult:
    """Runs the missing runs of a suite file.

    Args:
        path: The file.
        out: Folder of run folders, or its URL.
        engine: The executor that the user wants.
        trackers: Names of the trackers that receive each run.
        data_root: Folder of the datasets for which the file names none.
        registry: The plugins; the installed plugins if ``None``.
        listener: Receives the progress while runs are planned.
        board_for: Makes the board that shows how the runs stand.
        note: Shows the user a line of the executor.
        planned: Called between planning and running.

    Raises:
        ConfigError: The file has problems; all are listed, and no run was started. Or the executor is
            unknown, or does not take its parameters, or ``out`` is a run folder.
        ExecutorError: The executor is not set up correctly, or is lost.
    """
    listener, registry = listener or Silence(), registry or load_registry()
    problems = Problems()
    suite = read_suite(path, problems, data_root)
    folder = local_copy(out)
    engine.require_known(registry)
    if is_url(out):
        require_writable_url(str(out).rstrip("/"))
        listener.phase(f"read {folder}", 0)
        fetch(out)
    else:
        require_writable(folder)
    require_folder_of_runs(folder)
    make_trackers(trackers, registry, folder.path, listener)  # raises now if a package is missing
    jobs = [
        replace(job, trackers=tuple(trackers), url=folder.known_as)
        for job in plan(suite, path, folder.path, registry, listener, problems)
    ]
    tell_of_cuts(jobs, listener)
    planned()
    running = run_planned(jobs, engine, registry, folder.path, board_for=board_for, note=note)
    if is_url(out):
        fetch(out)  # other machines may have published runs
    _fail_unreadable(running, registry)
    return SuiteResult(suite, folder, running, registry)
