"""The writer of a run folder: one writer per folder; written data survive a crash."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.errors import BusyError, StoreError
from zobench.files.atomic import DRAFT, damage, disk_errors
from zobench.files.json_files import Json, append_lines, keep_rows, read_json, read_rows, write_json
from zobench.files.location import Location
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.measures.edit_score import EditScore
from zobench.measures.patient_bootstrap import ScoredImages

from . import layout
from .checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from .manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from torch import Tensor

LOCK_SECONDS = 0.3
"""Seconds to wait for the lock; longer than :func:`is_busy` holds it."""

Committed = Callable[[list[Json], list[tuple[int, Path]]], None]
"""Called with trace rows and with (queries, path) of snapshots once both are safe on disk."""


@dataclass(frozen=True)
class StoredSetup:
    """The embeddings of the clean training images, computed once per run.

    Attributes:
        clean: The embeddings, ``(N, D)`` float32.
        counts: The ledger's counts of ``setup``.
        encoder_seconds: Time spent in the encoder.
    """

    clean: NDArray[np.float32]
    counts: Mapping[str, int]
    encoder_seconds: float


@dataclass(frozen=True)
class StoredScores:
    """The scores of the edits so far.

    Attributes:
        edits: The scores of ERM, then of the snapshots by increasing queries.
        test: Labels of the test images.
        counts: The ledger's counts of ``score``.
        encoder_seconds: Time spent in the encoder.
    """

    edits: Sequence[EditScore]
    test: ScoredImages
    counts: Mapping[str, int]
    encoder_seconds: float


class RunFolder:
    """The one writer of a run folder.

    Attributes:
        location: The folder.
        committed: Called with trace rows and snapshots once they are safe on disk.
    """

    def __init__(self, place: str | os.PathLike[str], alone: bool = False) -> None:
        """Locks the folder.

        Args:
            place: The run folder; created if it does not exist.
            alone: Whether no other process knows the folder. The folder is then not locked; some
                filesystems have no locks.

        Raises:
            BusyError: Another process writes to the folder.
            StoreError: The folder cannot be written.
        """
        from filelock import FileLock, Timeout

        self.location = Location.of(place)
        with disk_errors(self.location):
            (self.path / layout.SNAPSHOTS).mkdir(parents=True, exist_ok=True)
            self._lock = None if alone else FileLock(self.path / layout.LOCK)
            try:
                if self._lock is not None:
                    self._lock.acquire(timeout=LOCK_SECONDS)
            except Timeout as error:
                raise BusyError(f"another process is writing to {self.location}") from error
        self._waiting: dict[str, list[bytes]] = {layout.TRACE: [], layout.TIMING: []}
        self._rows: list[Json] = []
        self._kept: list[tuple[int, Path]] = []
        self.committed: Committed = lambda rows, snapshots: None

    @property
    def path(self) -> Path:
        """The folder on this machine."""
        return self.location.path

    def close(self) -> None:
        """Releases the lock, so that another process can write."""
        if self._lock is not None:
            self._lock.release()

    def discard(self) -> None:
        """Closes and removes a folder in which nothing was begun."""
        self.close()
        with contextlib.suppress(OSError):
            (self.path / layout.LOCK).unlink(missing_ok=True)
            (self.path / layout.SNAPSHOTS).rmdir()
            self.path.rmdir()

    def manifest(self) -> Manifest:
        """The manifest as it is on disk.

        Raises:
            StoreError: The manifest is missing or damaged.
        """
        return read_manifest(self.location)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces the manifest."""
        write_json(self.location / layout.MANIFEST, manifest.as_json())

    def trace(self) -> list[Json]:
        """Rows of the trace that are on disk."""
        return read_rows(self.location / layout.TRACE)

    def append(self, row: Json, timing: Json) -> None:
        """Adds a row to trace and timing; the next :meth:`checkpoint` writes both to disk."""
        self._rows.append(row)
        for name, value in ((layout.TRACE, row), (layout.TIMING, timing)):
            self._waiting[name].append(json.dumps(value, allow_nan=False).encode() + b"\n")

    def checkpoint(self, state: Checkpoint) -> None:
        """Appends the waiting rows, syncs them to disk, then replaces the checkpoint."""
        for name, lines in self._waiting.items():
            if lines:
                append_lines(self.location / name, b"".join(lines))
                lines.clear()
        write_checkpoint(self.location / layout.CHECKPOINT, state)
        rows, snapshots = self._rows, self._kept
        self._rows, self._kept = [], []
        if rows or snapshots:
            self.committed(rows, snapshots)

    def restore(self) -> Checkpoint | None:
        """Reads the checkpoint; removes later rows and snapshots, and drafts of a killed writer.

        Returns:
            The checkpoint; ``None`` if there is none.

        Raises:
            StoreError: The checkpoint is damaged, or is missing although edits are scored.
        """
        place = self.location / layout.CHECKPOINT
        state = read_checkpoint(place) if place.path.exists() else None
        if state is None and (self.path / layout.SCORES).exists():
            raise StoreError(
                f"{self.location} has scores but no checkpoint, so it cannot be resumed; restore "
                f"{layout.CHECKPOINT} from a copy, or start a new run"
            )
        with disk_errors(self.location):
            for draft in self.path.rglob(f"*{DRAFT}"):
                draft.unlink(missing_ok=True)
        for name in (layout.TRACE, layout.TIMING):
            keep_rows(self.location / name, state.asks if state is not None else 0)
        self._drop_snapshots_after(state.counts["queries"] if state is not None else -1)
        return state

    def drop_checkpoint(self) -> None:
        """Removes the checkpoint of a finished run.

        Raises:
            StoreError: The file cannot be removed.
        """
        with disk_errors(self.location):
            (self.path / layout.CHECKPOINT).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.path / layout.CHECKPOINT).parent.rmdir()

    def snapshots(self) -> list[int]:
        """Query counts of the snapshots, increasing."""
        return layout.snapshot_queries(self.path)

    def write_snapshot(self, queries: int, edit: Tensor) -> None:
        """Keeps the edit ``(1, H, W)`` recommended after ``queries``."""
        place = self.location / layout.snapshot_name(queries)
        write_tensors(place, {"edit": edit})
        self._kept.append((queries, place.path))

    def edit(self, queries: int) -> Tensor:
        """The edit ``(1, H, W)`` recommended after ``queries``."""
        return read_edit(self.location, queries)

    def _drop_snapshots_after(self, queries: int) -> None:
        for found in self.snapshots():
            if found > queries:
                with disk_errors(self.location):
                    (self.path / layout.snapshot_name(found)).unlink()

    def setup(self) -> StoredSetup | None:
        """The clean embeddings, if they were computed."""
        return read_setup(self.location)

    def write_setup(self, setup: StoredSetup) -> None:
        """Keeps the clean embeddings."""
        import torch

        notes = {"counts": dict(setup.counts), "encoder_seconds": setup.encoder_seconds}
        clean = torch.from_numpy(setup.clean)
        write_tensors(self.location / layout.SETUP, {"clean": clean}, notes)

    def scores(self) -> StoredScores | None:
        """The scores so far; ``None`` before the first one."""
        return read_scores(self.location)

    def write_scores(self, scores: StoredScores) -> None:
        """Replaces the scores."""
        test = {name: column.tolist() for name, column in vars(scores.test).items()}
        found = {
            "edits": [asdict(each) for each in scores.edits],
            "test": test,
            "counts": dict(scores.counts),
            "encoder_seconds": scores.encoder_seconds,
        }
        write_json(self.location / layout.SCORES, found)


def read_edit(folder: Location, queries: int) -> Tensor:
    """The edit ``(1, H, W)`` recommended after ``queries``.

    Raises:
        StoreError: The snapshot is missing or damaged.
    """
    place = folder / layout.snapshot_name(queries)
    tensors, _ = read_tensors(place)
    with damage(place):
        return tensors["edit"]


def read_setup(folder: Location) -> StoredSetup | None:
    """The clean embeddings of a run; ``None`` if they were not computed.

    Raises:
        StoreError: The file is damaged.
    """
    place = folder / layout.SETUP
    if not place.path.exists():
        return None
    tensors, notes = read_tensors(place)
    with damage(place):
        return StoredSetup(tensors["clean"].numpy(), notes["counts"], notes["encoder_seconds"])


def read_scores(folder: Location) -> StoredScores | None:
    """The scores of a run so far; ``None`` before the first one.

    Raises:
        StoreError: The file is damaged.
    """
    place = folder / layout.SCORES
    if not place.path.exists():
        return None
    found = read_json(place)
    with damage(place):
        test = {name: np.asarray(each, dtype=np.int64) for name, each in found["test"].items()}
        edits = [EditScore.from_json(row) for row in found["edits"]]
        return StoredScores(edits, ScoredImages(**test), found["counts"], found["encoder_seconds"])
