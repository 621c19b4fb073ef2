"""Films from files: decoded to 8-bit grey, several at a time, once for a selection and size."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from zobench.datasets import Pixels, Progress, Rows, silent
from zobench.errors import DatasetError
from zobench.files import disk_errors

Film = NDArray[np.uint8]
Kind = TypeVar("Kind", np.uint8, np.uint32)
AHEAD = 256
"""Films that may be decoded before they are written down."""
SHOWN = 5
"""Unreadable films that a message names."""


class UnreadableFilms(DatasetError):
    """Films that cannot be decoded.

    Attributes:
        rows: Their numbers.
    """

    def __init__(self, faults: Mapping[int, DatasetError]) -> None:
        self.rows = tuple(faults)
        words = [str(fault) for fault in list(faults.values())[:SHOWN]]
        if len(faults) > 1:
            more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
            words = [f"{len(faults)} films cannot be used:", *words, *more]
        super().__init__("\n  ".join(words))


def load_film(path: Path, where: str, size: int) -> Film:
    """A film ``(size, size)``, resampled with Lanczos' filter.

    Args:
        path: Any format that Pillow reads.
        where: How messages call it.
        size: Pixels a side.

    Raises:
        DatasetError: The file is missing, damaged, or not an 8-bit grey film.
    """
    try:
        with Image.open(path) as image:
            image.load()
            grey = _grey(image, where)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError(f"{where} is not a readable image: {error}") from error
    return np.asarray(grey.resize((size, size), Image.Resampling.LANCZOS))


def _grey(image: Image.Image, where: str) -> Image.Image:
    """The film as 8-bit grey; colour is accepted where it is grey in disguise, as some of NIH's.

    Raises:
        DatasetError: The image has colour, transparency, or more than 8 bits.
    """
    if image.mode == "L":
        return image
    if image.mode in ("RGB", "RGBA"):
        bands = [np.asarray(band) for band in image.split()]
        same = np.array_equal(bands[0], bands[1]) and np.array_equal(bands[0], bands[2])
        if same and (len(bands) == 3 or bool((bands[3] == 255).all())):
            return image.getchannel(0)
        raise DatasetError(
            f"{where} is {image.mode} with colour or transparency; a film must be 8-bit grey"
        )
    raise DatasetError(
        f"{where} has pixel mode {image.mode}; a film must be 8-bit grey: choose the window and "
        "convert it first, for a rescaling by guess would change what the encoder sees"
    )


@dataclass(frozen=True)
class FilmCache:
    """Decoded films of one dataset at one size, in a memory-mapped file beside their checksums.

    A film without a checksum, or with another than it should have, is decoded again; so the cache may
    be interrupted, damaged or deleted at any time. Films that nobody asked for take no place on disks
    that keep sparse files.

    Attributes:
        folder: Where the two files lie.
        count: Films of the dataset.
        size: Pixels a side.
    """

    folder: Path
    count: int
    size: int

    @classmethod
    def of(cls, folder: Path, paths: Sequence[Path], size: int) -> FilmCache:
        """The cache of these files, as they are now; a changed file makes another one.

        Args:
            folder: Of all caches of a dataset.
            paths: Files, in the order of the films' numbers.
            size: Pixels a side.
        """
        name = digest_of([stamp(path) for path in paths])
        return cls(folder / f"{name}-{size}", len(paths), size)

    def read(
        self, rows: Rows, decode: Callable[[int], Film], progress: Progress = silent
    ) -> Pixels:
        """Films ``(n, 1, size, size)``.

        Args:
            rows: Their numbers.
            decode: Makes one film from its file.
            progress: Told how many there are.

        Raises:
            UnreadableFilms: Some cannot be decoded; the first are named, and all are counted.
            StoreError: The cache cannot be written.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            films = self._open("films.u8", np.uint8, (self.count, self.size, self.size))
            sums = self._open("checksums.u32", np.uint32, (self.count,))
        missing = [int(row) for row in np.unique(rows) if sums[row] != _checksum(films[row])]
        known = len(rows) - len(missing)
        faults: dict[int, DatasetError] = {}
        progress(known, len(rows))
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(missing), AHEAD):
                part = missing[start : start + AHEAD]
                made = dict(zip(part, pool.map(_attempt(decode), part), strict=True))
                good = {row: each for row, each in made.items() if isinstance(each, np.ndarray)}
                faults |= {r: each for r, each in made.items() if isinstance(each, DatasetError)}
                with disk_errors(self.folder):
                    self._write("films.u8", good)
                    self._write("checksums.u32", {r: _checksum(each) for r, each in good.items()})
                progress(known + start + len(part), len(rows))
        if faults:
            raise UnreadableFilms(faults)
        return np.asarray(films[rows])[:, None]

    def _open(self, name: str, kind: type[Kind], shape: tuple[int, ...]) -> NDArray[Kind]:
        """A view of a file of zeros and what was written into it."""
        path = self.folder / name
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        if not path.exists() or path.stat().st_size != size:
            with path.open("ab") as file:
                file.truncate(size)
        return np.memmap(path, dtype=kind, mode="r", shape=shape)

    def _write(self, name: str, values: Mapping[int, Film | np.uint32]) -> None:
        """Puts values at their places; not through a view, which a full disk would kill."""
        with (self.folder / name).open("r+b") as file:
            for row, value in values.items():
                file.seek(row * value.nbytes)
                file.write(value.tobytes())


def _checksum(film: Film) -> np.uint32:
    """Never 0, which stands for a film that is not there."""
    return np.uint32(zlib.crc32(film.tobytes()) or 1)


def _attempt(decode: Callable[[int], Film]) -> Callable[[int], Film | DatasetError]:
    def attempt(row: int) -> Film | DatasetError:
        try:
            return decode(row)
        except DatasetError as error:
            return error

    return attempt


class Unreadable:
    """The films of an archive that could not be decoded, remembered until their files change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set(path.read_text().splitlines()) if path.exists() else set()

    def __contains__(self, film: Path) -> bool:
        return bool(self._known) and stamp(film) in self._known

    def remember(self, films: Sequence[Path]) -> None:
        """Adds films, for the next time."""
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.writelines(f"{stamp(film)}\n" for film in films)


def stamp(film: Path) -> str:
    """What tells a file from another, and from itself after a change."""
    found = film.stat()
    return f"{film},{found.st_size},{found.st_mtime_ns}"


def digest_of(lines: Sequence[str]) -> str:
    """Digest of a table of films, a line a film."""
    hasher = hashlib.blake2b(digest_size=8)
    for line in lines:
        hasher.update(f"{line}\n".encode())
    return hasher.hexdigest()
