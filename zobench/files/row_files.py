"""Reads and appends rows of JSON-lines files; the checksum of a row covers all rows before it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from .atomic import CONTENT_ERRORS, damaged, disk_errors, missing, sync_folder
from .checksums import DIGITS, checksum
from .json_files import CHECKSUM, Json
from .location import Place
from .regular import APPEND, UPDATE, content_of, opened

_END = f',"{CHECKSUM}":"'.encode()
_END_BYTES = len(_END) + DIGITS + len(b'"}\n')


@dataclass(frozen=True)
class StoredRows:
    """The rows of a file.

    Attributes:
        rows: The rows, without their checksums.
        ends: The checksum of each row.
    """

    rows: list[Json] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    @property
    def end(self) -> str:
        """The checksum of the last row; empty without rows."""
        return self.ends[-1] if self.ends else ""


class RowWriter:
    """Appends rows to a file; each row ends in a checksum of itself and of all rows before it.

    Attributes:
        count: Rows so far.
        end: The checksum of the last row; empty without rows.
    """

    def __init__(self, place: Place, stored: StoredRows | None = None) -> None:
        """Goes on after the rows that are in the file; ``None`` if there are none."""
        before = stored or StoredRows()
        self._place, self.count, self.end = place, len(before.rows), before.end

    def append(self, rows: Iterable[Json], *, durable: bool) -> None:
        """Appends rows with one write; after an error the file is as it was.

        Args:
            rows: The rows, in order.
            durable: Whether to wait until the rows are on disk.

        Raises:
            StoreError: The rows cannot be written.
        """
        path, end, lines = Path(self._place), self.end, []
        for row in rows:
            begin = orjson.dumps(row).removesuffix(b"}")
            end = checksum(begin, end)
            lines.append(b"".join([begin, _END, end.encode(), b'"}\n']))
        with disk_errors(self._place):
            new = durable and not path.exists()
            with opened(self._place, APPEND) as file:
                _write(file, b"".join(lines))
                if durable:
                    os.fsync(file)
            if new:
                sync_folder(path.parent)
        self.end, self.count = end, self.count + len(lines)


def _write(file: int, content: bytes) -> None:
    size = os.fstat(file).st_size
    try:
        while content:
            content = content[os.write(file, content) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)  # a later row must not follow half a row
        raise


def read_rows(place: Place) -> StoredRows:
    """Reads the rows of a file.

    A last line without a line end, which a crash can leave, is ignored. A missing file has no rows.

    Raises:
        DamagedError: A row is not what was written, or a row before it is lost.
        StoreError: The file cannot be read.
    """
    if not Path(place).exists():
        return StoredRows()
    with disk_errors(place):
        content = content_of(place)
    return parsed_rows(place, content)


def parsed_rows(place: Place, content: bytes) -> StoredRows:
    """The rows in the content of a file.

    Raises:
        DamagedError: A row is not what was written, or a row before it is lost.
    """
    stored, end = StoredRows(), ""
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n")[:-1], 1):
        begin, tail = line[: 1 - _END_BYTES], line[1 - _END_BYTES :]
        end = checksum(begin, end)
        if tail != b"".join([_END, end.encode(), b'"}']):
            raise damaged(
                place, f"row {number} does not match its checksum, or a row is lost before it"
            )
        try:
            row: Any = json.loads(line)
            del row[CHECKSUM]
        except CONTENT_ERRORS as error:
            raise damaged(place, error) from error
        stored.rows.append(row)
        stored.ends.append(end)
    return stored


def keep_rows(place: Place, count: int, end: str = "") -> StoredRows:
    """Shortens a file to its first rows; no file is the same as no rows.

    Args:
        place: The file.
        count: The number of rows to keep.
        end: The checksum that the last of them must have.

    Returns:
        The rows that are kept.

    Raises:
        DamagedError: The file has fewer rows, or other rows.
        StoreError: The file cannot be read or written.
    """
    path = Path(place)
    if not path.exists():
        if count:
            raise missing(place)
        return StoredRows()
    with disk_errors(place), opened(place, UPDATE) as file:
        lines = content_of(place).split(b"\n")[:-1]
        if len(lines) < count:
            raise damaged(place, f"it has {len(lines)} rows, and {count} were stored")
        kept = b"".join(line + b"\n" for line in lines[:count])
        stored = parsed_rows(place, kept)
        if stored.end != end:
            raise damaged(place, f"row {count} is not the row that was stored")
        os.ftruncate(file, len(kept))
    return stored
