"""The rank of the run in a folder, and whether a process writes to that folder."""

from __future__ import annotations

import os
from pathlib import Path

from zobench.contracts.run_status import RunStatus
from zobench.errors import StoreError
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


def is_busy(folder: str | os.PathLike[str]) -> bool:
    """Whether a process is writing to a run folder, or another user owns the folder's lock.

    ``False`` for a folder that does not exist or was never locked.
    """
    from filelock import FileLock, Timeout

    lock = Path(folder, LOCK)
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def rank(folder: str | os.PathLike[str]) -> Rank:
    """The rank of the run in a folder; :data:`NOWHERE` if there is no readable run."""
    path = Path(folder)
    try:
        if not is_run(path):
            return NOWHERE
        scored, queries = 0, 0
        if (path / SCORES).exists():
            scored = len(read_json(path / SCORES)["edits"])
        if (path / CHECKPOINT).exists():
            queries = read_tensors(path / CHECKPOINT)[1]["counts"]["queries"]
        return is_done(path), scored, queries
    except (StoreError, OSError, KeyError, TypeError):
        return NOWHERE
