"""Films from files: decoded to 8-bit grey, several at a time, once for a selection and size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import DatasetError
from zobench.files.atomic import disk_errors

from .film_cache import FilmCache

Film = NDArray[np.uint8]
AHEAD = 256
"""Films that may be decoded before they are written down."""
SHOWN = 5
"""Unreadable films that a message names."""


class UnreadableFilms(DatasetError):
    """Films that cannot be decoded.

    Attributes:
        rows: The numbers of these films.
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
        path: An image file in any format that Pillow reads.
        where: The name of the film in messages.
        size: Pixels per side.

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
    """The film as 8-bit grey; RGB is accepted if its channels are equal, as in some NIH films.

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


class ArchiveFilms:
    """The films of an archive at one size, each decoded the first time that it is asked for."""

    def __init__(
        self, folder: Path, paths: Sequence[Path], size: int, title: Callable[[int], str]
    ) -> None:
        """Opens nothing yet.

        Args:
            folder: The folder of the archive's caches; changed files get a new cache.
            paths: The files of the films, in the order of the films' numbers.
            size: Pixels per side.
            title: The name of a film in messages, from its number.
        """
        self._folder = folder / f"{digest_of([stamp(path) for path in paths])}-{size}"
        self._paths, self._size, self._title = paths, size, title

    def read(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Films ``(n, 1, size, size)``, decoded several at a time.

        Raises:
            UnreadableFilms: Some films cannot be decoded; the message names the first of them.
            StoreError: The cache cannot be written.
        """
        with closing(FilmCache(self._folder, self._size)) as cache, ThreadPoolExecutor() as pool:
            todo = cache.missing(np.unique(rows))
            done, faults = len(rows) - len(todo), dict[int, DatasetError]()
            progress(done, len(rows))
            for start in range(0, len(todo), AHEAD):
                part = todo[start : start + AHEAD]
                made = dict(zip(part.tolist(), pool.map(self._attempt, part.tolist()), strict=True))
                good = {row: each for row, each in made.items() if isinstance(each, np.ndarray)}
                if good:
                    cache.write(np.array(list(good)), np.stack(list(good.values())))
                faults |= {r: each for r, each in made.items() if isinstance(each, DatasetError)}
                done += len(part)
                progress(done, len(rows))
            if faults:
                raise UnreadableFilms(faults)
            return cache.read(rows)[:, None]

    def _attempt(self, row: int) -> Film | DatasetError:
        try:
            return load_film(self._paths[row], self._title(row), self._size)
        except DatasetError as error:
            return error


class Unreadable:
    """The films of an archive that could not be decoded, remembered until their files change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set(path.read_text().splitlines()) if path.exists() else set()

    def __contains__(self, film: object) -> bool:
        return bool(self._known) and isinstance(film, Path) and stamp(film) in self._known

    def remember(self, films: Sequence[Path]) -> None:
        """Adds films to the file of unreadable films."""
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.writelines(f"{stamp(film)}\n" for film in films)


def stamp(film: Path) -> str:
    """Path, size and modification time of a film file, as text."""
    found = film.stat()
    return f"{film},{found.st_size},{found.st_mtime_ns}"


def digest_of(lines: Sequence[str]) -> str:
    """Digest of a table of films, one line per film."""
    hasher = hashlib.blake2b(digest_size=8)
    for line in lines:
        hasher.update(f"{line}\n".encode())
    return hasher.hexdigest()
