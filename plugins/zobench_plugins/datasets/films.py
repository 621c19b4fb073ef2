"""Films from files: decoded several at a time, once for a selection and a form."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import DatasetError
from zobench.files.atomic import disk_errors

from .film_cache import FilmCache
from .pictures.decoding import PictureForm, load_picture
from .pictures.levels import UnfittingPicture

Film = NDArray[np.uint8]
AHEAD = 64
"""Films that may be decoded before they are written down."""
SHOWN = 5
"""Unreadable films that a message names."""


class UnreadableFilms(DatasetError):
    """Films that cannot be decoded.

    Attributes:
        rows: The numbers of the damaged ones among them; a film that the system does not let us read
            may be whole.
        unfitting: Whether others are whole and need another setting.
    """

    def __init__(self, faults: Mapping[int, DatasetError]) -> None:
        self.rows = tuple(row for row, fault in faults.items() if _is_damage(fault))
        self.unfitting = any(isinstance(fault, UnfittingPicture) for fault in faults.values())
        super().__init__(in_one_message(list(faults.values()), "cannot be used"))


def in_one_message(faults: Sequence[DatasetError], what: str) -> str:
    """The only fault; or how many images have one, the first of them, and the number of the others.

    Args:
        faults: What is wrong with each image.
        what: The end of the sentence that counts the images, such as ``cannot be used``.
    """
    if len(faults) == 1:
        return str(faults[0])
    more = [f"and {len(faults) - SHOWN:,} more"] if len(faults) > SHOWN else []
    return "\n  ".join([f"{len(faults):,} images {what}:", *map(str, faults[:SHOWN]), *more])


def _is_damage(fault: DatasetError) -> bool:
    cause = fault.__cause__
    # the system gives a number where it refuses to read: permissions, a lost disk
    refused = isinstance(cause, OSError) and cause.errno is not None
    return not refused and not isinstance(fault, UnfittingPicture)


class ArchiveFilms:
    """The films of an archive at one size, each decoded the first time that it is asked for."""

    def __init__(
        self,
        folder: Path,
        paths: Sequence[Path],
        form: PictureForm,
        title: Callable[[int], str],
    ) -> None:
        """Opens nothing yet.

        Args:
            folder: The folder of the archive's caches; changed files get a new cache.
            paths: The files of the films, in the order of the films' numbers.
            form: The form that every film is brought to.
            title: The name of a film in messages, from its number.
        """
        self._folder = folder / f"{digest_of([stamp(path) for path in paths])}-{form.key}"
        self._paths, self._form, self._title = paths, form, title

    def read(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Films ``(n, C, size, size)``, decoded several at a time.

        Raises:
            ConfigError: A DICOM file needs a package that is not installed.
            UnreadableFilms: Some films cannot be decoded; the message names the first of them.
            StoreError: The cache cannot be written.
        """
        wanted = np.unique(rows)
        with (
            closing(FilmCache(self._folder, self._form.shape)) as cache,
            cache.filling(wanted, progress) as todo,
            warnings.catch_warnings(),
            ThreadPoolExecutor() as pool,
        ):
            warnings.simplefilter("ignore")  # of values that a file spells wrongly, in every thread
            done, faults = len(wanted) - len(todo), dict[int, DatasetError]()
            for start in range(0, len(todo), AHEAD):
                part = todo[start : start + AHEAD]
                made = dict(zip(part.tolist(), pool.map(self._attempt, part.tolist()), strict=True))
                good = {row: value for row, value in made.items() if isinstance(value, np.ndarray)}
                if good:
                    cache.write(np.array(list(good)), np.stack(list(good.values())))
                faults |= {r: value for r, value in made.items() if isinstance(value, DatasetError)}
                done += len(part)
                progress(done, len(wanted))
            if faults:
                raise UnreadableFilms(faults)
            return cache.read(rows)

    def _attempt(self, row: int) -> Film | DatasetError:
        try:
            return load_picture(self._paths[row], self._title(row), self._form)
        except DatasetError as error:
            return error


class Unreadable:
    """The films of an archive that could not be decoded, remembered until their files change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set(path.read_text().splitlines()) if path.exists() else set()

    def __contains__(self, film: object) -> bool:
        return bool(self._known) and isinstance(film, Path) and stamp(film) in self._known

    def remember(self, films: Sequence[Path]) -> str:
        """Adds films to the file of unreadable films; returns what users should know of it."""
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.writelines(f"{stamp(film)}\n" for film in films)
        return f"files that cannot be decoded are remembered, until they change, in {self._path}"


def stamp(film: Path) -> str:
    """Path, size and modification time of a film file, as text."""
    status = film.stat()
    return f"{film},{status.st_size},{status.st_mtime_ns}"


def digest_of(lines: Sequence[str]) -> str:
    """Digest of a table of films, one line per film."""
    hasher = hashlib.blake2b(digest_size=8)
    for line in lines:
        hasher.update(f"{line}\n".encode())
    return hasher.hexdigest()
