"""A place on this machine, and the name by which its user knows it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

Place = str | os.PathLike[str]
"""A path; a :class:`Location` where messages show another name."""


@dataclass(frozen=True)
class Location(os.PathLike[str]):
    """A file or a folder that is opened by its path and named in messages as its user named it.

    A run at a URL is read from a local copy, and an attempt of a suite works in a folder of its own;
    messages must name the URL, or the run's own folder.

    Attributes:
        path: Where the file or folder lies on this machine.
        known_as: The URL or path that messages show; the path itself if empty.
    """

    path: Path
    known_as: str = ""

    @classmethod
    def of(cls, place: str | os.PathLike[str]) -> Location:
        """The location of a path; a location is returned as it is."""
        return place if isinstance(place, Location) else cls(Path(place))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def __truediv__(self, name: str | os.PathLike[str]) -> Location:
        """A file or folder below this one."""
        known_as = f"{self.known_as}/{os.fspath(name)}" if self.known_as else ""
        return Location(self.path / name, known_as)

    def __fspath__(self) -> str:
        """The path, so that :func:`open` and :class:`~pathlib.Path` take a location."""
        return str(self.path)

    def __str__(self) -> str:
        """The name that messages show."""
        return self.known_as or str(self.path)
