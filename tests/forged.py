"""Stored runs that somebody changed: their checksums hold, and only a verification notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zobench.files.checksums import checksum
from zobench.files.json_files import Json, read_json, write_json
from zobench.files.location import Location
from zobench.files.row_files import RowWriter, read_rows
from zobench.records import layout
from zobench.records.inventory import take_inventory


def with_checksums(folder: Path) -> None:
    """Writes the checksums of the files of a changed run into its manifest."""
    manifest = read_json(folder / layout.MANIFEST)
    files = take_inventory(Location.of(folder), done=True)
    write_json(folder / layout.MANIFEST, {**manifest, "files": files})


def rewritten_trace(folder: Path, change: Callable[[Sequence[Json]], Sequence[Json]]) -> None:
    """Replaces the rows of a trace by other rows, with the checksums that belong to them."""
    path = folder / layout.TRACE
    rows = change(read_rows(path).rows)
    path.unlink()
    RowWriter(path).append(rows, durable=False)
    with_checksums(folder)


def rewritten_json(path: Path, **changes: object) -> Mapping[str, object]:
    """Replaces members of a JSON file, with the checksum that belongs to it."""
    content = {**read_json(path), **changes}
    write_json(path, content)
    return content


def sealed(text: str) -> str:
    """The text of a JSON object, with the checksum that belongs to it."""
    begin = text.removesuffix("}")
    comma = "" if begin == "{" else ","
    return f'{begin}{comma}\n "checksum": "{checksum(begin.encode())}"\n}}\n'
