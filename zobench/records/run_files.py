"""The files of a run folder for readers: those with a checksum are compared with it first."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.billing.bill import BILL, Bill, read_bill
from zobench.contracts.purpose import Purpose
from zobench.contracts.run_status import RunStatus
from zobench.files.atomic import damage, damaged, missing
from zobench.files.json_files import Json
from zobench.files.location import Location
from zobench.files.regular import require_no_link
from zobench.files.row_files import read_rows
from zobench.oracle.ledger import Counts, Ledger

from . import layout
from .checkpoint import read_checkpoint
from .inventory import require_stored
from .manifest import Manifest, read_manifest
from .stored_numbers import StoredScores, StoredSetup, read_edit, read_scores, read_setup

if TYPE_CHECKING:
    from torch import Tensor


class RunFiles:
    """The files of a run folder, each read on access.

    A file with a checksum in the manifest is compared with it before it is read. Manifest, trace,
    ledger, bill and scores are kept after the first access.

    Attributes:
        location: The folder.
    """

    def __init__(self, location: Location) -> None:
        """Remembers the folder; reads no file."""
        self.location = location

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the run.

        Raises:
            NotARunError: The folder is not a run folder.
            StoreError: The manifest is damaged, or was written by a newer zobench.
        """
        return read_manifest(self.location)

    @property
    def done(self) -> bool:
        """Whether the run is done: all its edits are scored."""
        return self.manifest.status is RunStatus.DONE

    @cached_property
    def trace(self) -> list[Json]:
        """The trace, one row per tell: queries, evaluations, values.

        Raises:
            DamagedError: The trace is damaged, or lacks rows that were stored.
        """
        place, checkpoint = self.location / layout.TRACE, self.location / layout.CHECKPOINT
        state = None
        if not self.done and checkpoint.path.exists():
            with suppress(FileNotFoundError):  # the run may end meanwhile
                state = read_checkpoint(checkpoint)
        self._require(layout.TRACE)
        stored = read_rows(place)
        if state is not None:
            count, end = state.rows[layout.TRACE]
            if len(stored.rows) < count or (count and stored.ends[count - 1] != end):
                raise damaged(place, f"its rows are not the {count} that the checkpoint covers")
        return stored.rows

    @cached_property
    def ledger(self) -> Mapping[str, Mapping[str, int]]:
        """Counts by purpose; for a run that is not done, computed from the files in its folder."""
        if self.done:
            return self.manifest.ledger
        ledger = Ledger(self.manifest.config.backward_cost)
        if (setup := self.setup) is not None:
            ledger.put(Purpose.SETUP, setup.counts)
        if self.trace:
            with damage(self.location / layout.TRACE):
                last = {count.name: self.trace[-1][count.name] for count in fields(Counts)}
            ledger.put(Purpose.OPTIMIZE, last)
        if self.scores is not None:
            ledger.put(Purpose.SCORE, self.scores.counts)
        ledger.put(Purpose.LOCAL, self.manifest.ledger.get(Purpose.LOCAL, {}))
        return ledger.as_dict()

    @cached_property
    def bill(self) -> Bill | None:
        """The bill of a rented encoder; ``None`` for an encoder that runs here.

        Raises:
            DamagedError: The bill is damaged, cut short or missing.
        """
        self._require(BILL)
        return read_bill(self.location, self.manifest.encoder.price)

    @property
    def setup(self) -> StoredSetup | None:
        """The embeddings of the clean training images; ``None`` before they are computed.

        Raises:
            DamagedError: The file is damaged, or missing although it was stored.
        """
        self._require(layout.SETUP)
        return read_setup(self.location)

    @property
    def snapshots(self) -> list[int]:
        """Query counts of the snapshots, increasing.

        Raises:
            DamagedError: A snapshot is missing although it was stored.
        """
        queries = layout.snapshot_queries(self.location.path)
        there = {layout.snapshot_name(count) for count in queries}
        for name in self.manifest.files:
            if name.startswith(f"{layout.SNAPSHOTS}/") and name not in there:
                raise missing(self.location / name)
        return queries

    def edit_after(self, queries: int) -> Tensor:
        """The edit ``(1, H, W)`` recommended after ``queries``.

        Raises:
            DamagedError: The snapshot is damaged, or missing although it was stored.
        """
        self._require(layout.snapshot_name(queries))
        return read_edit(self.location, queries)

    @cached_property
    def scores(self) -> StoredScores | None:
        """The scores of the edits, before any statistics; ``None`` before the first one.

        Raises:
            DamagedError: The file is damaged, or missing although it was stored.
        """
        self._require(layout.SCORES)
        return read_scores(self.location)

    def picture(self, name: str) -> Path | None:
        """A picture of the last edit by its file name; ``None`` if there is none.

        Raises:
            DamagedError: The picture is damaged, or missing although it was stored.
        """
        self._require(name)
        path = self.location.path / name
        require_no_link(path)
        return path if path.is_file() else None

    def require_whole(self) -> None:
        """Compares all files with the checksums in the manifest.

        The checkpoint of a finished run may be missing: it may be deleted, as nothing is read from it.

        Raises:
            DamagedError: A file is damaged, or missing although it was stored.
        """
        checkpoint = str(layout.CHECKPOINT)
        for name in self.manifest.files:
            if self.done and name == checkpoint and not (self.location / name).path.exists():
                continue
            self._require(name)

    def _require(self, name: str) -> None:
        require_stored(self.location, self.manifest.files, name)
