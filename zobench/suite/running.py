"""Carries out the missing runs of a suite; resubmits lost runs and waits for other processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from zobench.contracts.executor import Executor, Outcome
from zobench.errors import StoreError, ZobenchError
from zobench.records.standing import lock_state

from .planning import Job

Standing = Literal["waiting", "running", "elsewhere", "done", "failed", "interrupted"]
TICK = 0.5
ELSEWHERE = "another process is writing to this run; waiting for it"
DENIED = (
    "the lock of {folder} cannot be opened; another user may own that folder: choose another --out, or "
    "mend its permissions"
)
LIVES = 3
"""Number of lost workers after which a run counts as failed."""


class Board(Protocol):
    """Shows the standing of each job twice a second, and the notes of runs."""

    def show(self, standings: Mapping[Job, Standing], errors: Mapping[Job, str]) -> None:
        """Shows the standing of all jobs in order, and the errors of the failed jobs."""
        ...

    def note(self, text: str) -> None:
        """A line that the user should see."""
        ...


class Running:
    """The state of one :func:`run_jobs` call: the standing and any error of each job.

    Attributes:
        standings: The standing of each job, in order.
        errors: The error of each job that failed.
        exit_codes: The exit code of each job that failed; see :mod:`zobench.errors`.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.standings: dict[Job, Standing] = {}
        self.errors: dict[Job, str] = {}
        self.exit_codes: dict[Job, int] = {}
        self._lives = dict.fromkeys(jobs, LIVES)
        for job in jobs:
            self._read(job)

    def those(self, *standings: Standing) -> list[Job]:
        """The jobs with one of these standings."""
        return [job for job, standing in self.standings.items() if standing in standings]

    @property
    def unfinished(self) -> list[Job]:
        """Jobs that are neither done nor failed; another call of the same suite resumes them."""
        return self.those("waiting", "running", "elsewhere", "interrupted")

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Sets the standing of a job that ended; a lost job becomes ``waiting`` again."""
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
            self.exit_codes[job] = outcome.exit_code

    def look_elsewhere(self) -> None:
        """Sets each ``elsewhere`` job without a writing process to ``done`` or ``waiting``."""
        for job in self.those("elsewhere"):
            if lock_state(job.folder) != "held":
                self._read(job)

    def _read(self, job: Job) -> None:
        """Sets the standing of a job from its folder; with a damaged manifest the job has failed."""
        try:
            self.standings[job] = "done" if job.done else "waiting"
        except StoreError as error:
            self.ended(job, failed(error))


def failed(error: ZobenchError) -> Outcome:
    """The end of a job by an error."""
    return Outcome("failed", str(error), exit_code=error.exit_code)


def run_jobs(
    jobs: Sequence[Job], executor: Executor[Job], board: Board, stopped: Callable[[], bool]
) -> Running:
    """Runs all jobs that are not done.

    A failed run does not stop other runs. If another process writes to a run, this function waits,
    and resumes the run if that process ends before the run is done.

    Args:
        jobs: The jobs, in order.
        executor: The engine; closed by the caller.
        board: Told how the jobs stand.
        stopped: Whether the user asked to stop. Then no job starts, running jobs save their
            state, and the other jobs stay waiting.
    """
    running = Running(jobs)
    stopping, noted = False, Counter[str]()
    while True:
        if stopped() and not stopping:
            stopping = True
            executor.cancel()
        running.look_elsewhere()
        room = 0 if stopping else max(0, executor.capacity)
        for job in running.those("waiting")[:room]:
            state = lock_state(job.folder)
            if state == "denied":
                running.ended(job, Outcome("failed", DENIED.format(folder=job.location)))
            elif state == "held":
                running.ended(job, Outcome("busy"))
                board.note(f"{job.folder.name}: {ELSEWHERE}")
            else:
                executor.submit(job)
                running.standings[job] = "running"
        board.show(running.standings, running.errors)
        if not running.those("running") and (stopping or not running.those("waiting", "elsewhere")):
            for text, count in noted.items():
                if count > 1:
                    board.note(f"{count} runs: {text}")
            return running
        for job, outcome in executor.as_completed(TICK):
            running.ended(job, outcome)
            if outcome.state == "busy":
                board.note(f"{job.folder.name}: {ELSEWHERE}")
            for text in outcome.notes:  # show a repeated note once, then its count
                if text not in noted:
                    board.note(f"{job.folder.name}: {text}")
            noted.update(outcome.notes)
