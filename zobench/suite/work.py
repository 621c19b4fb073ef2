"""The work of a suite worker: an idempotent function that completes a run, and its progress."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from zobench.contracts.executor import Outcome, Progress
from zobench.contracts.listener import Listener
from zobench.errors import BusyError, Interrupted, StoreError, ZobenchError
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.records.layout import PROGRESS
from zobench.registry.failure import run_failure
from zobench.runs.lifecycle import carry_out
from zobench.runs.signals import Stop

from .planning import Job

SECONDS = 0.5
"""Least time between two writes of the progress file."""


def work(
    job: Job,
    told: Progressing | None = None,
    stop: Stop | None = None,
    place: Location | None = None,
) -> Outcome:
    """Starts or resumes a run that is not done; a fault of the run raises no error.

    Args:
        job: The run.
        told: Receives the progress; if ``None``, progress is written to the run folder.
        stop: Tells the run to save its state and stop.
        place: The folder of an attempt, which is not locked, as no other process knows it. If
            ``None``, the run uses the job's folder and locks it.
    """
    folder = place or job.location
    listener = told or ProgressFile(folder.path)
    try:
        carry_out(
            job.config,
            folder,
            listener=listener,
            trackers=job.trackers,
            stop=stop,
            alone=place is not None,
        )
    except BusyError as error:
        return Outcome("busy", str(error))
    except Interrupted as error:
        listener.close()
        return Outcome("interrupted", str(error))
    except BaseException as error:  # a plugin may raise anything; the other runs go on
        listener.close()
        failure = error if isinstance(error, ZobenchError) else run_failure(error)
        return Outcome("failed", str(failure), listener.notes, failure.exit_code)
    listener.close()
    return Outcome("done", notes=listener.notes)


class Progressing(Listener, Protocol):
    """A listener that collects notes and is closed when its worker ends.

    Attributes:
        notes: Lines for the user.
    """

    notes: list[str]

    def close(self) -> None:
        """Called when the worker has ended."""
        ...


class LatestProgress:
    """Keeps the position of a run, for another thread of the process.

    Attributes:
        now: The position.
        notes: Lines for the user; the run's outcome includes them.
    """

    def __init__(self) -> None:
        self.now = Progress()
        self.notes: list[str] = []

    def phase(self, name: str, total: int) -> None:
        """Keeps the start of a phase as the position."""
        began = time.time()
        self.now = Progress(name, total=total, since=began, at=began, process=os.getpid())

    def update(self, done: int, **figures: float) -> None:
        """Keeps the position."""
        now = self.now
        self.now = replace(now, done=done, figures={**now.figures, **figures}, at=time.time())

    def note(self, text: str) -> None:
        """Keeps the line."""
        self.notes.append(text)

    def close(self) -> None:
        """Does nothing."""


class ProgressFile(LatestProgress):
    """Writes the position of a run into its folder, for readers on any machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path, self._written = folder / PROGRESS, 0.0
        with suppress(OSError):  # opening the run folder will raise an error with advice
            folder.mkdir(parents=True, exist_ok=True)

    def phase(self, name: str, total: int) -> None:
        """Writes the start of a phase to the file at once."""
        super().phase(name, total)
        self._write()

    def update(self, done: int, **figures: float) -> None:
        """Writes twice a second at most."""
        super().update(done, **figures)
        if time.monotonic() - self._written > SECONDS:
            self._write()

    def close(self) -> None:
        """Removes the file, and then the folder if it is empty."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()

    def _write(self) -> None:
        self._written = time.monotonic()
        with suppress(StoreError):  # such as a full disk; the run itself will raise an error
            write_json(self._path, self.now.as_dict(), durable=False)


def read_progress(folder: os.PathLike[str]) -> Progress | None:
    """The position that a :class:`ProgressFile` wrote last; ``None`` if there is none."""
    path = Path(folder, PROGRESS)
    try:
        return Progress(**read_json(path)) if path.exists() else None
    except (StoreError, TypeError):
        return None
