"""Helpers for tests of attempts: a job with a short run, and attempts that are interrupted."""

from __future__ import annotations

from pathlib import Path

from tiny import config

from zobench.config import RunConfig
from zobench.runs.signals import Stop
from zobench.suite.attempts import attempt
from zobench.suite.planning import Job
from zobench.suite.work import LatestProgress


def job(tmp_path: Path, where: str = "runs", wanted: RunConfig | None = None) -> Job:
    return Job(wanted or config("random"), tmp_path / where / "one", "x")


class StopAfter(LatestProgress):
    """Asks the run to stop once ``queries`` queries are spent."""

    def __init__(self, queries: int) -> None:
        super().__init__()
        self.stop, self._queries = Stop(), queries

    def update(self, done: int, **figures: float) -> None:
        super().update(done, **figures)
        if self.now.phase == "optimize" and done >= self._queries:
            self.stop.asked = True


def interrupted(wanted: Job, queries: int) -> None:
    told = StopAfter(queries)
    assert attempt(wanted, told, told.stop).state == "interrupted"
