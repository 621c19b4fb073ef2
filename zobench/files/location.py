"""A path on this machine, with the name that messages show for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

Place = str | os.PathLike[str]
"""A path; a :class:`Location` where messages show another name."""


@dataclass(frozen=True)
class Location(os.PathLike[str]):
    """A file or folder: a path to open it, and the name that messages show.

    The two can differ. A run at a URL is read from a local copy, but messages name the URL. An
    attempt of a suite works in a folder of its own, but messages name the run folder.

    Attributes:
        path: Path of the file or folder on this machine.
        known_as: The URL or path that messages show; messages show ``path`` if it is empty.
    """

    path: Path
    known_as: str = ""

    @classmethod
    def of(cls, place: str | os.PathLike[str]) -> Location:
        """Makes a location from a path; returns a location unchanged."""
        return place if isinstance(place, Location) else cls(Path(place))

    def absolute(self) -> Location:
        """The same place with an absolute path, so that a change of the working folder is harmless."""
        return Location(self.path.absolute(), str(self))

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
