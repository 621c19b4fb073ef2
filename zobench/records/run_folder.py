"""The writer of a run folder: one writer per folder; written data survive a crash."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.errors import BusyError
from zobench.files.atomic import DRAFT, damaged, disk_errors, missing
from zobench.files.checksums import checksum
from zobench.files.json_files import Json, write_json
from zobench.files.location import Location
from zobench.files.regular import content_of
from zobench.files.row_files import RowWriter, keep_rows, read_rows

from . import layout
from .checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from .manifest import Manifest, read_manifest
from .stored_numbers import (
    StoredScores,
    StoredSetup,
    read_edit,
    read_scores,
    read_setup,
    write_edit,
    write_scores,
    write_setup,
)

if TYPE_CHECKING:
    from torch import Tensor

LOCK_SECONDS = 0.3
"""Seconds to wait for the lock; longer than :func:`zobench.records.standing.lock_state` holds it."""

ROW_FILES = (layout.TRACE, layout.TIMING)
"""Files with one row per tell."""

Committed = Callable[[list[Json], list[tuple[int, Path]]], None]
"""Called with trace rows and with (queries, path) of snapshots once both are safe on disk."""


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
            StoreError: The folder cannot be written, or a folder in it is a link.
        """
        from filelock import FileLock, Timeout

        self.location = Location.of(place).absolute()
        layout.require_no_links(self.path)
        with disk_errors(self.location):
            (self.path / layout.SNAPSHOTS).mkdir(parents=True, exist_ok=True)
            self._lock = None if alone else FileLock(self.path / layout.LOCK)
            try:
                if self._lock is not None:
                    self._lock.acquire(timeout=LOCK_SECONDS)
            except Timeout as error:
                raise BusyError(
                    f"another process is writing to {self.location}; wait until it ends, or end it"
                ) from error
        self._files = {name: RowWriter(self.location / name) for name in ROW_FILES}
        self._waiting: dict[str, list[Json]] = {name: [] for name in ROW_FILES}
        self._kept: list[tuple[int, Path]] = []
        self._checksums: dict[int, str] = {}
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
        return read_rows(self.location / layout.TRACE).rows

    def append(self, row: Json, timing: Json) -> None:
        """Adds a row to trace and timing; the next :meth:`checkpoint` writes both to disk."""
        self._waiting[layout.TRACE].append(row)
        self._waiting[layout.TIMING].append(timing)

    def checkpoint(self, state: Checkpoint) -> None:
        """Appends the waiting rows, syncs them to disk, then replaces the checkpoint."""
        rows, snapshots = self._waiting[layout.TRACE], self._kept
        for name in ROW_FILES:
            if self._waiting[name]:
                self._files[name].append(self._waiting[name], durable=True)
                self._waiting[name] = []
        on_disk = {name: (file.count, file.end) for name, file in self._files.items()}
        covered = replace(state, rows=on_disk, snapshots=dict(self._checksums))
        write_checkpoint(self.location / layout.CHECKPOINT, covered)
        self._kept = []
        if rows or snapshots:
            self.committed(rows, snapshots)

    def restore(self) -> Checkpoint | None:
        """Reads the checkpoint; removes later rows and snapshots, and drafts of a killed writer.

        Returns:
            The checkpoint; ``None`` if there is none.

        Raises:
            DamagedError: The checkpoint, or a row or a snapshot that it covers, is damaged or
                missing; or the checkpoint is missing although edits are scored.
            StoreError: A file cannot be read or written.
        """
        place = self.location / layout.CHECKPOINT
        state = read_checkpoint(place) if place.path.exists() else None
        if state is None and (self.path / layout.SCORES).exists():
            raise missing(place)
        self._remove_drafts()
        self._keep_rows(layout.TRACE, state)
        self._checksums = dict(state.snapshots) if state is not None else {}
        for queries, stored in self._checksums.items():
            self.edit(queries)
            if self._checksum(queries) != stored:
                snapshot = self.location / layout.snapshot_name(queries)
                raise damaged(snapshot, "it is another snapshot than the one that was stored")
        for queries in set(self.snapshots()) - set(self._checksums):
            with disk_errors(self.location):
                (self.path / layout.snapshot_name(queries)).unlink()
        return state

    def restore_timing(self, state: Checkpoint | None) -> None:
        """Removes rows of the timing that a checkpoint does not cover.

        Raises:
            DamagedError: A row that the checkpoint covers is damaged or missing.
            StoreError: The file cannot be read or written.
        """
        self._keep_rows(layout.TIMING, state)

    def start_timing_over(self) -> None:
        """Removes the rows of the timing.

        Raises:
            StoreError: The file cannot be removed.
        """
        self.remove(layout.TIMING)
        self._files[layout.TIMING] = RowWriter(self.location / layout.TIMING)

    def _keep_rows(self, name: str, state: Checkpoint | None) -> None:
        count, end = state.rows[name] if state is not None else (0, "")
        self._files[name] = RowWriter(
            self.location / name, keep_rows(self.location / name, count, end)
        )

    def start_over(self) -> None:
        """Removes rows, snapshots, scores and checkpoint, so that the run begins anew.

        Raises:
            StoreError: A file cannot be removed.
        """
        self._remove_drafts()
        self.drop_checkpoint()
        snapshots = [layout.snapshot_name(queries) for queries in self.snapshots()]
        for name in (*ROW_FILES, layout.SCORES, *snapshots):
            self.remove(name)
        self._checksums = {}
        self._files = {name: RowWriter(self.location / name) for name in ROW_FILES}

    def remove(self, name: str) -> None:
        """Removes a file of the run, so that its content is computed anew.

        Raises:
            StoreError: The file cannot be removed.
        """
        with disk_errors(self.location):
            (self.path / name).unlink(missing_ok=True)

    def _remove_drafts(self) -> None:
        with disk_errors(self.location):
            for draft in self.path.rglob(f"*{DRAFT}"):
                draft.unlink(missing_ok=True)

    def drop_checkpoint(self) -> None:
        """Removes the checkpoint.

        Raises:
            StoreError: The file cannot be removed.
        """
        self.remove(str(layout.CHECKPOINT))
        with contextlib.suppress(OSError):
            (self.path / layout.CHECKPOINT).parent.rmdir()

    def snapshots(self) -> list[int]:
        """Query counts of the snapshots, increasing."""
        return layout.snapshot_queries(self.path)

    def write_snapshot(self, queries: int, edit: Tensor) -> None:
        """Keeps the edit ``(1, H, W)`` recommended after ``queries``."""
        place = write_edit(self.location, queries, edit)
        self._checksums[queries] = self._checksum(queries)
        self._kept.append((queries, place.path))

    def _checksum(self, queries: int) -> str:
        place = self.location / layout.snapshot_name(queries)
        with disk_errors(place):
            return checksum(content_of(place))

    def edit(self, queries: int) -> Tensor:
        """The edit ``(1, H, W)`` recommended after ``queries``."""
        return read_edit(self.location, queries)

    def setup(self) -> StoredSetup | None:
        """The clean embeddings, if they were computed."""
        return read_setup(self.location)

    def write_setup(self, setup: StoredSetup) -> None:
        """Keeps the clean embeddings."""
        write_setup(self.location, setup)

    def write_images(self, train: Sequence[str], test: Sequence[str]) -> None:
        """Keeps the names of the images, in the order of their embeddings and scores."""
        write_json(self.location / layout.IMAGES, {"train": list(train), "test": list(test)})

    def scores(self) -> StoredScores | None:
        """The scores so far; ``None`` before the first one."""
        return read_scores(self.location)

    def write_scores(self, scores: StoredScores) -> None:
        """Replaces the scores."""
        write_scores(self.location, scores)
