"""The rank of the run in a folder, and whether a process writes to that folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from zobench.contracts.run_status import RunStatus
from zobench.errors import DamagedError, StoreError
from zobench.files.json_files import read_json
from zobench.files.tensor_files import read_tensors

from .layout import CHECKPOINT, LOCK, SCORES, is_run
from .manifest import read_manifest

Rank = tuple[bool, int, int]
"""The rank of a run: (whether it is done, number of scored edits, queries at its checkpoint)."""

NOWHERE: Rank = (False, -1, -1)


def is_done(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a run with status ``done``.

    Raises:
        StoreError: The manifest is damaged.
    """
    return is_run(folder) and read_manifest(folder).status is RunStatus.DONE


LockState = Literal["free", "held", "denied"]
"""``held``: a process is writing to the folder; ``denied``: the lock cannot be opened."""


def lock_state(folder: str | os.PathLike[str]) -> LockState:
    """Whether this process could lock a run folder.

    ``free`` also for a folder that does not exist or was never locked.
    """
    from filelock import FileLock, Timeout

    lock = Path(folder, LOCK)
    if not lock.exists():
        return "free"
    try:
        with FileLock(lock, timeout=0):
            return "free"
    except Timeout:
        return "held"
    except OSError:
        return "denied"


def is_busy(folder: str | os.PathLike[str]) -> bool:
    """Whether a process is writing to a run folder, or another user owns the folder's lock."""
    return lock_state(folder) != "free"


def rank(folder: str | os.PathLike[str]) -> Rank:
    """The rank of the run in a folder; :data:`NOWHERE` if there is no readable run."""
    path = Path(folder)
    try:
        if not is_run(path):
            return NOWHERE
        return is_done(path), _scored(path), _queries(path)
    except (StoreError, OSError):
        return NOWHERE


def _scored(path: Path) -> int:
    """Scored edits; 0 if the file is damaged, which resuming the run will tell."""
    try:
        return len(read_json(path / SCORES)["edits"]) if (path / SCORES).exists() else 0
    except (DamagedError, KeyError, TypeError):
        return 0


def _queries(path: Path) -> int:
    """Queries at the checkpoint; 0 if it is damaged, which resuming the run will tell."""
    place = path / CHECKPOINT
    try:
        return int(read_tensors(place)[1]["counts"]["queries"]) if place.exists() else 0
    except (DamagedError, KeyError, TypeError):
        return 0
