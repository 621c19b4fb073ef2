"""Reads and writes JSON files and JSON-lines files so that a crash does not damage them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from zobench.errors import StoreError

from .atomic import disk_errors, sync_folder, write_atomically
from .location import Place

Json = dict[str, Any]
"""A JSON object."""


def write_json(place: Place, value: object, *, durable: bool = True) -> None:
    """Replaces the content of a file by JSON with exact floats; NaN and infinity are refused.

    Args:
        place: The file.
        value: The new content.
        durable: Whether to wait until the file is on disk.

    Raises:
        StoreError: The file cannot be written.
    """
    text = json.dumps(value, indent=1, allow_nan=False)
    write_atomically(place, text.encode() + b"\n", durable=durable)


def read_json(place: Place) -> Any:
    """The content of a JSON file.

    Raises:
        StoreError: The file cannot be read or is not JSON.
    """
    with disk_errors(place):
        content = Path(place).read_bytes()
    try:
        return json.loads(content)
    except ValueError as error:
        raise StoreError(f"{place} is not valid JSON: {error}") from error


def read_rows(place: Place) -> list[Json]:
    """Reads the rows of a JSON-lines file.

    A last line without a line end, which a crash can leave, is ignored. A missing file has no rows.

    Raises:
        StoreError: The file cannot be read, or a complete line is not JSON.
    """
    path = Path(place)
    if not path.exists():
        return []
    with disk_errors(place):
        content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise StoreError(f"{place} is damaged: {error}") from error


def append_lines(place: Place, content: bytes) -> None:
    """Appends complete lines to a file, and waits until they are on disk.

    Raises:
        StoreError: The lines cannot be written.
    """
    path = Path(place)
    with disk_errors(place):
        new = not path.exists()
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(path.parent)


def keep_rows(place: Place, rows: int) -> None:
    """Shortens a JSON-lines file to its first ``rows`` rows; no file is the same as no rows.

    Raises:
        StoreError: The file has fewer rows, or cannot be written.
    """
    path = Path(place)
    fewer = f"{place} has fewer rows than its checkpoint ({rows}): the file was changed"
    if not path.exists():
        if rows:
            raise StoreError(fewer)
        return
    with disk_errors(place), path.open("r+b") as file:
        for _ in range(rows):
            line = file.readline()
            if not line.endswith(b"\n"):
                raise StoreError(fewer)
        file.truncate(file.tell())
