"""The picture files that a command is given: files, and all pictures in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zobench.errors import ConfigError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")


def picture_files(given: Sequence[Path]) -> list[tuple[Path, Path]]:
    """The pictures among files and folders, in order.

    Returns:
        Pairs of a file and its name relative to the folder that it was found in.

    Raises:
        ConfigError: A place does not exist, a folder holds no picture, or two pictures would have the
            same name.
    """
    found: dict[Path, Path] = {}
    for place in given:
        if place.is_dir():
            inside = [p for p in sorted(place.rglob("*")) if p.suffix.lower() in SUFFIXES]
            if not inside:
                raise ConfigError(
                    f"{place} holds no picture; pictures end in {', '.join(SUFFIXES)}"
                )
            pairs = [(path.relative_to(place), path) for path in inside]
        elif place.is_file():
            pairs = [(Path(place.name), place)]
        else:
            raise ConfigError(f"{place} does not exist; name picture files, or folders of them")
        for name, path in pairs:
            other = found.setdefault(name, path)
            if other != path:
                raise ConfigError(f"{other} and {path} have the same name; give them one at a time")
    return [(path, name) for name, path in found.items()]
