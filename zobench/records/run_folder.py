"""A run on disk: one folder, one writer, nothing lost at a crash, no pickle.

::

    runs/<run-id>/
      manifest.json        what ran, on what, and how it ended; ``status: done`` is written last
      trace.jsonl          a row a tell; the same bytes for the same run
      timing.jsonl         a row a tell; how long it took
      setup.safetensors    embeddings of the clean training images
      snapshots/           recommended edits, one file a query count
      scores.json          what scoring each edit found
      checkpoint/          where to go on; replaced atomically, removed when done

Rows are appended in batches and synced; a torn last line is cut when the folder is read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zobench.errors import BusyError, NotARunError, StoreError
from zobench.files.files import (
    Json,
    append_lines,
    disk_errors,
    keep_rows,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1

MANIFEST = "manifest.json"
TRACE = "trace.jsonl"
TIMING = "timing.jsonl"
SETUP = "setup.safetensors"
SCORES = "scores.json"
SNAPSHOTS = "snapshots"
LOCK = ".lock"
PROGRESS = "progress.json"
LOCK_SECONDS = 0.3
"""Longer than it takes to ask whether a folder is busy."""
CHECKPOINT = Path("checkpoint") / "state.safetensors"

Rank = tuple[bool, int, int]
"""How far a run is: whether it is done, edits that are scored, queries at its checkpoint."""

NOWHERE: Rank = (False, -1, -1)

Committed = Callable[[list[Json], list[tuple[int, Path]]], None]
"""Told of rows of the trace, and of snapshots with their queries, once they survive a crash."""


def read_manifest(folder: Path) -> Json:
    """The manifest of a run folder.

    Raises:
        NotARunError: It is no run folder.
        StoreError: It was written by a newer zobench, or is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotARunError(f"{folder} is not a run folder: it has no {MANIFEST}")
    manifest: Json = read_json(path)
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int):
        raise StoreError(f"{path} has no schema version, so zobench did not write it")
    if schema > SCHEMA:
        raise StoreError(
            f"{folder} was written by a newer zobench (schema {schema}; this one reads up to "
            f"{SCHEMA}); upgrade zobench to read it"
        )
    return manifest


def read_whole_manifest(folder: Path) -> Json:
    """The manifest of a run folder, with all that describes a run in it.

    Raises:
        StoreError: As :func:`read_manifest`; or a part of it is missing.
    """
    manifest = read_manifest(folder)
    for name in ("config", "parameters", "status"):
        if name not in manifest:
            raise StoreError(
                f"{folder / MANIFEST} is damaged: it has no {name!r}; restore it from a copy, or delete "
                "the folder and run it anew"
            )
    return manifest


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands between two asks.

    Attributes:
        asks: Rows of the trace that belong to it.
        optimizer: The optimizer's state.
        counts: The ledger's counts of ``optimize``.
        encoder_seconds: Time spent in the encoder so far.
        wall_seconds: Time spent in all.
    """

    asks: int
    optimizer: Mapping[str, Tensor | int | float | str]
    counts: Mapping[str, int]
    encoder_seconds: float
    wall_seconds: float


class RunFolder:
    """The one writer of a run folder."""

    def __init__(self, path: Path, alone: bool = False) -> None:
        """Locks the folder.

        Args:
            path: It is made if it is not there.
            alone: Nobody else can know of it, so no lock is needed; not every filesystem has them.

        Raises:
            BusyError: Another process writes to it.
            StoreError: It cannot be written.
        """
        from filelock import FileLock, Timeout

        self.path = path
        with disk_errors(path):
            (path / SNAPSHOTS).mkdir(parents=True, exist_ok=True)
            self._lock = None if alone else FileLock(path / LOCK)
            try:
                if self._lock is not None:
                    self._lock.acquire(timeout=LOCK_SECONDS)
            except Timeout as error:
                raise BusyError(f"another process is writing to {path}") from error
        self._waiting: dict[str, list[bytes]] = {TRACE: [], TIMING: []}
        self._rows: list[Json] = []
        self._kept: list[tuple[int, Path]] = []
        self.committed: Committed = lambda rows, snapshots: None
        self._manifest: Json = {}

    def close(self) -> None:
        """Lets another process write."""
        if self._lock is not None:
            self._lock.release()

    def discard(self) -> None:
        """Lets a folder go in which nothing was begun."""
        self.close()
        with contextlib.suppress(OSError):
            (self.path / LOCK).unlink(missing_ok=True)
            (self.path / SNAPSHOTS).rmdir()
            self.path.rmdir()

    def write_manifest(self, **changes: Any) -> None:
        """Puts changes into the manifest."""
        if not self._manifest and (self.path / MANIFEST).exists():
            self._manifest = read_manifest(self.path)
        self._manifest = {**self._manifest, **changes}
        write_json(self.path / MANIFEST, self._manifest)

    def append(self, row: Json, timing: Json) -> None:
        """Adds a row to trace and timing; on disk after the next :meth:`checkpoint`."""
        self._rows.append(row)
        for name, value in ((TRACE, row), (TIMING, timing)):
            self._waiting[name].append(json.dumps(value, allow_nan=False).encode() + b"\n")

    def checkpoint(self, state: Checkpoint) -> None:
        """Appends the waiting rows, syncs them, then replaces the checkpoint."""
        for name, lines in self._waiting.items():
            if lines:
                append_lines(self.path / name, b"".join(lines))
                lines.clear()
        from torch import Tensor

        tensors = {k: v for k, v in state.optimizer.items() if isinstance(v, Tensor)}
        plain = {k: v for k, v in state.optimizer.items() if not isinstance(v, Tensor)}
        notes = {
            "asks": state.asks,
            "optimizer": plain,
            "counts": dict(state.counts),
            "encoder_seconds": state.encoder_seconds,
            "wall_seconds": state.wall_seconds,
        }
        write_tensors(self.path / CHECKPOINT, tensors, notes)
        rows, snapshots = self._rows, self._kept
        self._rows, self._kept = [], []
        if rows or snapshots:
            self.committed(rows, snapshots)

    def restore(self) -> Checkpoint | None:
        """The last checkpoint, with trace and snapshots cut back to it; ``None`` if there is none."""
        path = self.path / CHECKPOINT
        if not path.exists():
            for name in (TRACE, TIMING):
                keep_rows(self.path / name, 0)
            self._drop_snapshots_after(-1)
            return None
        tensors, notes = read_tensors(path)
        for name in (TRACE, TIMING):
            keep_rows(self.path / name, notes["asks"])
        self._drop_snapshots_after(notes["counts"]["queries"])
        return Checkpoint(
            asks=notes["asks"],
            optimizer={**tensors, **notes["optimizer"]},
            counts=notes["counts"],
            encoder_seconds=notes["encoder_seconds"],
            wall_seconds=notes["wall_seconds"],
        )

    def drop_checkpoint(self) -> None:
        """Removes the checkpoint of a finished run."""
        (self.path / CHECKPOINT).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.path / CHECKPOINT).parent.rmdir()

    def write_snapshot(self, queries: int, edit: Tensor) -> None:
        """Keeps the edit ``(1, H, W)`` recommended after ``queries``."""
        path = self.path / SNAPSHOTS / f"{queries:012d}.safetensors"
        write_tensors(path, {"edit": edit})
        self._kept.append((queries, path))

    def _drop_snapshots_after(self, queries: int) -> None:
        for path in (self.path / SNAPSHOTS).glob("*.safetensors"):
            if int(path.stem) > queries:
                path.unlink()


def is_busy(folder: Path) -> bool:
    """Whether a process is writing to a run folder, or its lock is another user's.

    ``False`` for a folder that is not there, or was never locked.
    """
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def is_run(path: Path) -> bool:
    """Whether a run lies there, in whatever state."""
    return (path / MANIFEST).is_file()


def is_done(path: Path) -> bool:
    """Whether a finished run lies there."""
    return is_run(path) and read_manifest(path)["status"] == "done"


def rank(path: Path) -> Rank:
    """How far the run in a folder is; :data:`NOWHERE` if nothing useful lies there."""
    try:
        if not is_run(path):
            return NOWHERE
        scored, queries = 0, 0
        if (path / SCORES).exists():
            scored = len(read_json(path / SCORES)["edits"])
        if (path / CHECKPOINT).exists():
            queries = read_tensors(path / CHECKPOINT)[1]["counts"]["queries"]
        return is_done(path), scored, queries
    except (StoreError, OSError, KeyError):
        return NOWHERE


def run_folders(path: Path) -> list[Path]:
    """Run folders right below a folder, or the folder itself if it is one; in order of names."""
    if is_run(path):
        return [path]
    return sorted(each.parent for each in path.glob(f"*/{MANIFEST}"))


def snapshot_queries(folder: Path) -> list[int]:
    """Query counts of the snapshots, increasing."""
    return sorted(int(path.stem) for path in (folder / SNAPSHOTS).glob("*.safetensors"))


def read_snapshot(folder: Path, queries: int) -> Tensor:
    """The edit ``(1, H, W)`` recommended after ``queries``."""
    tensors, _ = read_tensors(folder / SNAPSHOTS / f"{queries:012d}.safetensors")
    return tensors["edit"]
