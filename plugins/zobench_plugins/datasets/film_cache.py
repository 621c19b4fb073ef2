"""Films that were rendered or decoded once, kept in the user's cache, verified when reused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.listener import ReportProgress
from zobench.errors import StoreError

DIGEST_BYTES = 16
POLL_SECONDS = 2.0
"""Time after which a waiting process looks which films another one has made."""
POLLS_WITHOUT_FILM = 10
"""After so many polls without a new film, a waiting process makes the films itself."""


class FilmCache:
    """``films.bin`` and ``digests.bin`` in one folder, one record per film.

    A film that was never written is a hole in both files. Films are deterministic, so two processes
    that fill the same cache write the same bytes. So that no film is made twice, a process waits
    while another one makes films. Pixels are written before their digest: a film
    that a crash left incomplete does not match its digest and is made again. Films are read through
    a memory map but written with ``pwrite``: on a full disk a write into a map kills the process.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        """Opens the cache, and makes it on first use.

        Args:
            folder: The folder of the cache.
            shape: The shape of a film.

        Raises:
            StoreError: The folder cannot be written.
        """
        self._folder, self._shape, self._bytes = folder, shape, prod(shape)
        with self._errors():
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT
            self._films = os.open(folder / "films.bin", flags, 0o644)
            self._digests = os.open(folder / "digests.bin", flags, 0o644)

    def close(self) -> None:
        """Closes both files."""
        os.close(self._films)
        os.close(self._digests)

    def missing(self, rows: Rows) -> Rows:
        """The films among ``rows`` that are absent or damaged."""
        bad = [row for row in rows.tolist() if not self._is_whole(row)]
        return np.asarray(bad, dtype=np.int64)

    @contextmanager
    def filling(self, rows: Rows, progress: ReportProgress) -> Iterator[Rows]:
        """The films among ``rows`` that are to be made now.

        While another process makes films of this cache, this one waits, unless none of its films
        appears for a while: the other one may be stopped.

        Args:
            rows: The films that are wanted.
            progress: Called with the number of films that exist and the number wanted.
        """
        todo, idle = self.missing(rows), 0
        progress(len(rows) - len(todo), len(rows))
        with ExitStack() as stack:
            while len(todo) and idle < POLLS_WITHOUT_FILM:
                alone = self._is_alone(stack)
                before, todo = todo, self.missing(todo)
                idle = idle + 1 if len(todo) == len(before) else 0
                progress(len(rows) - len(todo), len(rows))
                if alone:
                    break
            yield todo

    def _is_alone(self, stack: ExitStack) -> bool:
        """Whether no other process makes films, nor will until the stack is closed."""
        try:
            stack.enter_context(FileLock(self._folder / "films.lock", timeout=POLL_SECONDS))
        except Timeout:
            return False
        except (OSError, NotImplementedError):  # a file system without locks
            pass
        return True

    def write(self, rows: Rows, films: Pixels) -> None:
        """Adds films ``(n, *shape)``.

        Raises:
            StoreError: The films cannot be written, e.g. because the disk is full.
        """
        with self._errors():
            for row, film in zip(rows.tolist(), films, strict=True):
                _write(self._films, film.tobytes(), row * self._bytes)
            os.fsync(self._films)
            for row, film in zip(rows.tolist(), films, strict=True):
                _write(self._digests, _digest(film.tobytes()), row * DIGEST_BYTES)

    def read(self, rows: Rows) -> Pixels:
        """Films ``(n, *shape)``; all of them must be in the cache."""
        if not len(rows):
            return np.empty((0, *self._shape), dtype=np.uint8)
        with self._errors():
            shape = (int(rows.max()) + 1, *self._shape)
            mapped = np.memmap(self._folder / "films.bin", np.uint8, mode="r", shape=shape)
            return np.array(mapped[rows])

    def _is_whole(self, row: int) -> bool:
        with self._errors():
            digest = os.pread(self._digests, DIGEST_BYTES, row * DIGEST_BYTES)
            film = os.pread(self._films, self._bytes, row * self._bytes)
        return len(film) == self._bytes and _digest(film) == digest

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the film cache {self._folder} cannot be read or written: "
                f"{error.strerror or error}; free some space, or set ZOBENCH_CACHE to another folder"
            ) from error


def _write(file: int, content: bytes, offset: int) -> None:
    """Writes all of ``content``, also if one ``pwrite`` takes only a part."""
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _digest(film: bytes) -> bytes:
    return hashlib.blake2b(film, digest_size=DIGEST_BYTES).digest()
