"""Runs planned jobs on the executor that the user wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from zobench.contracts.executor import DEFAULT, Executor, ExecutorRequest, Resources, require_jobs
from zobench.contracts.listener import Listener, Silence
from zobench.registry.discovery import Registry
from zobench.runs.signals import stop_on_signal

from .attempts import clear
from .planning import Job
from .running import Board, Running, Standing, run_jobs


@dataclass(frozen=True)
class Engine:
    """The executor that the user wants, as typed.

    Attributes:
        name: The registered name of the executor.
        jobs: Runs at a time; ``None`` to leave the number to the executor.
        resources: The share of a machine for each run.
        settings: Parameters of the executor.
    """

    name: str = DEFAULT
    jobs: int | None = None
    resources: Resources = field(default_factory=Resources)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def require_known(self, registry: Registry) -> None:
        """Refuses an unknown executor, parameters that it does not take, and a wrong number of jobs.

        Raises:
            ConfigError: One of these is wrong.
        """
        require_jobs(self.jobs)
        offer, _ = registry.find("executors", self.name)
        offer.plugin.resolve(self.settings, "executor")


class ShownBoard(Board, Listener, Protocol):
    """A board that is also a listener, so that it can show notes about signals."""


BoardMaker = Callable[[Executor[Job]], AbstractContextManager[ShownBoard]]
"""Makes a board for the jobs of an executor."""


class SilentBoard(Silence):
    """A board that shows nothing."""

    def show(self, standings: Mapping[Job, Standing], errors: Mapping[Job, str]) -> None:
        """Does nothing."""


def silent_board(executor: Executor[Job]) -> AbstractContextManager[ShownBoard]:
    """A :data:`BoardMaker` that shows nothing."""
    return nullcontext(SilentBoard())


def run_planned(
    planned: Sequence[Job],
    engine: Engine,
    registry: Registry,
    out: Path,
    *,
    board_for: BoardMaker = silent_board,
    note: Callable[[str], None] = lambda text: None,
) -> Running:
    """Runs the jobs that are not done; no executor is made if there are none.

    Args:
        planned: The jobs, in order.
        engine: The executor that the user wants.
        registry: Installed plugins.
        out: Folder of run folders.
        board_for: Makes the board that shows how the jobs stand.
        note: Shows the user a line of the executor.

    Raises:
        ConfigError: The executor or one of its settings is unknown, or a package is missing.
        ExecutorError: The executor is not set up correctly, or is lost.
    """
    running = Running(planned)
    if not running.those("waiting"):
        return _cleared(running)
    request = ExecutorRequest(
        out=out,
        shared=not any(job.url for job in planned),
        jobs=engine.jobs,
        resources=engine.resources,
        distributions=registry.distributions(),
        note=note,
    )
    offer, _ = registry.find("executors", engine.name)
    executor: Executor[Job] = offer.plugin.make(request, engine.settings, "executor")
    try:
        with board_for(executor) as board, stop_on_signal(board) as stopped:
            running = run_jobs(planned, executor, board, stopped)
    finally:
        executor.close()
    return _cleared(running)


def _cleared(running: Running) -> Running:
    for job in running.those("done"):
        clear(job)
    return running
