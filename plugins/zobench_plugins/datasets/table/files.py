"""The image files that a table names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.errors import ConfigError

if TYPE_CHECKING:
    import pandas

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".bmp")
AMBIGUOUS = "?"
"""Stands for the path of a name that several files have."""
ABSOLUTE = re.compile(r"([A-Za-z]:)?/+")


def matched(names: pandas.Series[str], root: Path, folder: str) -> pandas.Series[str]:
    """The path of each name's file, relative to the root: empty if missing, ``?`` if ambiguous.

    A name is a path in the folder, the end of such a path, or the name of a file anywhere below, with
    or without its suffix. Of a path on another machine, only the file's name counts.

    Args:
        names: The names in the table.
        root: The folder of the dataset.
        folder: The folder of the images in it.

    Raises:
        ConfigError: There is no such folder in the root.
    """
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise ConfigError(f"dataset.folder is {folder!r}, but must be a folder in --data-root")
    place = root / folder
    if not place.is_dir():
        raise ConfigError(f"dataset.folder is {folder!r}, but {place} is not a folder")
    before = Path(folder).as_posix() + "/" if folder else ""
    exact: set[str] = set()
    alike: dict[str, list[str]] = defaultdict(list)
    for inside in _files(place):
        exact.add(inside)
        name = inside.rpartition("/")[2]
        for key in {name, name.rpartition(".")[0]}:
            alike[key].append(inside)

    def find(name: str) -> str:
        plain = name.replace("\\", "/").removeprefix("./")
        if plain in exact:
            return before + plain
        end = plain.rpartition("/")[2] if ABSOLUTE.match(plain) else plain
        candidates = [
            path
            for path in alike.get(end.rpartition("/")[2], ())
            if f"/{path}".endswith(f"/{end}") or f"/{path}".rpartition(".")[0].endswith(f"/{end}")
        ]
        if len(candidates) > 1:
            return AMBIGUOUS
        return before + candidates[0] if candidates else ""

    return names.map({name: find(name) for name in names.unique() if name}).fillna("")


def _files(place: Path) -> Iterator[str]:
    """Paths of the image files below a folder, by their suffix; links are followed, once each."""
    seen: set[str] = set()
    folders = [("", os.fspath(place))]
    while folders:
        inside, folder = folders.pop()
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda file: file.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append((f"{inside}{entry.name}/", entry.path))
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    yield inside + entry.name
