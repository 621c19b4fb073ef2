"""What a worker does: one idempotent function, and what it tells meanwhile through the run folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from zobench.contracts.listener import Listener
from zobench.errors import BusyError, Interrupted, ZobenchError
from zobench.records import run_folder as store
from zobench.runs.lifecycle import carry_out
from zobench.runs.signals import Stop

from .planning import Job

Progress = dict[str, Any]
"""Where a run stands: phase, done, total, figures, since, at (seconds of the clock), process."""

State = Literal["done", "failed", "interrupted", "busy", "lost"]
SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        state: ``failed`` is the run's own fault, ``lost`` that of the machinery: try again;
            ``busy``: another process is at it.
        error: Why it is not done; empty if it is.
        notes: What the user should know besides, of a run that ended.
    """

    state: State
    error: str = ""
    notes: Sequence[str] = ()


def work(
    job: Job, told: Progressing | None = None, stop: Stop | None = None, alone: bool = False
) -> Outcome:
    """Begins a run, goes on with it, or finds it done; never raises for a fault of the run.

    Args:
        job: What to run, and in which folder.
        told: Told of progress; it is written to the run folder if ``None``.
        stop: Asks to save and stop.
        alone: Nobody else can know of the folder, so it need not be locked.
    """
    listener = told or FileListener(job.folder)
    try:
        carry_out(
            job.config,
            job.folder,
            listener=listener,
            trackers=job.trackers,
            stop=stop,
            alone=alone,
        )
    except BusyError as error:
        return Outcome("busy", str(error))
    except Interrupted as error:
        listener.close()
        return Outcome("interrupted", str(error))
    except Exception as error:  # a plugin may raise anything; the other runs go on
        listener.close()
        name = "" if isinstance(error, ZobenchError) else f"{type(error).__name__}: "
        return Outcome("failed", f"{name}{error}", listener.notes)
    listener.close()
    return Outcome("done", notes=listener.notes)


class Progressing(Listener, Protocol):
    """A listener that is told when nobody is at the run any more.

    Attributes:
        notes: What it was told to tell the user.
    """

    notes: list[str]

    def close(self) -> None:
        """The worker has ended."""
        ...


class LatestProgress:
    """Keeps where a run stands, for another thread of the process.

    Attributes:
        now: As :func:`read_progress` has it.
        notes: For the user; they leave with the run's outcome.
    """

    def __init__(self) -> None:
        self.now: Progress = {"phase": "", "done": 0, "total": 0, "figures": {}}
        self.notes: list[str] = []

    def phase(self, name: str, total: int) -> None:
        """Kept."""
        began = time.time()
        self.now = {"phase": name, "done": 0, "total": total, "figures": {}, "since": began}
        self.now |= {"process": os.getpid(), "at": began}

    def update(self, done: int, **figures: float) -> None:
        """Kept."""
        now = self.now
        self.now = {**now, "done": done, "figures": {**now["figures"], **figures}}
        self.now["at"] = time.time()

    def note(self, text: str) -> None:
        """Kept."""
        self.notes.append(text)

    def close(self) -> None:
        """Nothing is to be let go."""


class FileListener(LatestProgress):
    """Writes where a run stands into its folder, for whoever watches, on any machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path, self._written = folder / store.PROGRESS, 0.0
        with suppress(OSError):  # whoever opens the run folder will say what is wrong with it
            folder.mkdir(parents=True, exist_ok=True)

    def phase(self, name: str, total: int) -> None:
        """Told at once."""
        super().phase(name, total)
        self._write()

    def update(self, done: int, **figures: float) -> None:
        """Told twice a second at most."""
        super().update(done, **figures)
        if time.monotonic() - self._written > SECONDS:
            self._write()

    def close(self) -> None:
        """Nobody is at the run any more; a folder in which nothing was begun goes, too."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()

    def _write(self) -> None:
        """A reader sees the old or the new text; a crash may lose it, for it is only progress."""
        self._written = time.monotonic()
        draft = self._path.with_name(store.PROGRESS + ".part")
        with suppress(OSError):  # the disk is full, say; the run will tell
            draft.write_text(json.dumps(self.now))
            draft.replace(self._path)


def read_progress(folder: os.PathLike[str]) -> Progress | None:
    """What :class:`FileListener` wrote last; ``None`` if nobody is at the run."""
    try:
        found: Progress = json.loads(Path(folder, store.PROGRESS).read_text())
    except (OSError, ValueError):
        return None
    return found
