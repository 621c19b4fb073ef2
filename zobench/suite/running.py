"""Runs what is missing of a suite; survives workers that die and others that are at the same runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from .. import store
from .executors import Executor
from .planning import Job
from .work import Outcome

Standing = Literal["waiting", "running", "elsewhere", "done", "failed", "interrupted"]
TICK = 0.5
LIVES = 3
"""Workers that a run may lose before it is taken to be the run's own fault."""


class Board(Protocol):
    """Told how the jobs stand, twice a second."""

    def show(self, standings: Mapping[Job, Standing], errors: Mapping[Job, str]) -> None:
        """All jobs in their order, and why those failed that did."""
        ...


class Running:
    """The state of one call of :func:`run_jobs`."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.standings: dict[Job, Standing] = {
            job: "done" if job.done else "waiting" for job in jobs
        }
        self.errors: dict[Job, str] = {}
        self._lives = dict.fromkeys(jobs, LIVES)

    def those(self, *standings: Standing) -> list[Job]:
        """Jobs that stand so."""
        return [job for job, standing in self.standings.items() if standing in standings]

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Notes how a job ended, or that it must be tried again."""
        if outcome.state == "lost":
            self._lives[job] -= 1
            if self._lives[job] > 0:
                self.standings[job] = "waiting"
                return
            words = (
                f"{outcome.error} {LIVES} times; is there enough memory for so many runs at a time?"
            )
            outcome = Outcome("failed", words)
        if outcome.state == "busy":
            self.standings[job] = "elsewhere"
        elif outcome.state in ("done", "failed", "interrupted"):
            self.standings[job] = outcome.state
        if outcome.state == "failed":
            self.errors[job] = outcome.error

    def look_elsewhere(self) -> None:
        """Runs of others that have ended are done, or ours to go on with."""
        for job in self.those("elsewhere"):
            if not store.is_busy(job.folder):
                self.standings[job] = "done" if job.done else "waiting"


def run_jobs(
    jobs: Sequence[Job], executor: Executor, board: Board, stopped: Callable[[], bool]
) -> Running:
    """Runs all jobs that are not done.

    A failed run stops no other. A run that another process is at is waited for, and gone on with if
    that process ends without finishing it.

    Args:
        jobs: What is wanted, in order.
        executor: Where it runs; closed by the caller.
        board: Told how it goes.
        stopped: Whether the user asked to stop; then nothing new starts, and what runs is saved.
    """
    running = Running(jobs)
    stopping = False
    while True:
        if stopped() and not stopping:
            stopping = True
            executor.cancel()
        if stopping:
            for job in running.those("waiting", "elsewhere"):
                running.standings[job] = "interrupted"
        running.look_elsewhere()
        for job in running.those("waiting")[: max(0, executor.capacity)]:
            if store.is_busy(job.folder):
                running.standings[job] = "elsewhere"
            else:
                executor.submit(job)
                running.standings[job] = "running"
        board.show(running.standings, running.errors)
        if not running.those("waiting", "running", "elsewhere"):
            return running
        for job, outcome in executor.as_completed(TICK):
            running.ended(job, outcome)
