"""The image files that a table names."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.errors import ConfigError

if TYPE_CHECKING:
    import pandas

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".bmp")
AMBIGUOUS = "?"
"""Stands for the path of a name that several files have."""


def matched(names: pandas.Series[str], root: Path, folder: str) -> pandas.Series[str]:
    """The path of each name's file, relative to the root: empty if missing, ``?`` if ambiguous.

    A name is a path in the folder, with or without its suffix, or the name of a file anywhere below.

    Args:
        names: The names in the table.
        root: The folder of the dataset.
        folder: The folder of the images in it.

    Raises:
        ConfigError: There is no such folder.
    """
    place = root / folder
    if not place.is_dir():
        raise ConfigError(f"dataset.folder is {folder!r}, but {place} is not a folder")
    exact: dict[str, str] = {}
    alike: dict[str, set[str]] = defaultdict(set)
    for path in _files(place):
        inside = path.relative_to(place).as_posix()
        exact[inside] = path.relative_to(root).as_posix()
        for key in (inside[: -len(path.suffix)], path.name, path.stem):
            alike[key].add(exact[inside])

    def find(name: str) -> str:
        plain = name.replace("\\", "/").removeprefix("./")
        if plain in exact:
            return exact[plain]
        candidates = alike.get(plain) or alike.get(plain.rpartition("/")[2]) or set()
        return AMBIGUOUS if len(candidates) > 1 else next(iter(candidates), "")

    return names.map({name: find(name) for name in names.unique() if name}).fillna("")


def _files(place: Path) -> list[Path]:
    """All image files below a folder, hidden ones left out, and files without a suffix."""
    found = []
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                found.append(path)
    return found
