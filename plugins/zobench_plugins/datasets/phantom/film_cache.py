"""Films that were rendered once, kept in the user's cache and verified by digest when reused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zobench.datasets import Pixels, Rows
from zobench.errors import StoreError

DIGEST_BYTES = 16


class FilmCache:
    """``films.npy`` and ``digests.npy`` in one folder, a row a film; an all-zero digest means none.

    Films are deterministic, so two processes that fill the same cache write the same bytes. Pixels
    are flushed before their digests: a film torn by a crash fails its digest and is rendered again.
    """

    def __init__(self, folder: Path, films: int, size: int) -> None:
        """Opens the cache, and makes it on first use.

        Raises:
            StoreError: The folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._films = _array(folder / "films.npy", (films, size, size))
            self._digests = _array(folder / "digests.npy", (films, DIGEST_BYTES))
        except OSError as error:
            raise StoreError(
                f"the film cache {folder} cannot be written: {error.strerror or error}; "
                "set ZOBENCH_CACHE to a folder that can"
            ) from error

    def missing(self, rows: Rows) -> Rows:
        """Those of ``rows`` that are absent or damaged."""
        bad = [
            row for row in rows.tolist() if _digest(self._films[row]) != bytes(self._digests[row])
        ]
        return np.asarray(bad, dtype=np.int64)

    def write(self, rows: Rows, films: Pixels) -> None:
        """Adds rendered films ``(n, size, size)``."""
        self._films[rows] = films
        self._films.flush()
        self._digests[rows] = [np.frombuffer(_digest(film), np.uint8) for film in films]
        self._digests.flush()

    def read(self, rows: Rows) -> Pixels:
        """Films ``(n, size, size)`` that are known to be there."""
        return np.asarray(self._films[rows])


def _digest(film: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(film).data, digest_size=DIGEST_BYTES).digest()


def _array(path: Path, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    """A file of zeros that takes no room until written, opened for reading and writing."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{np.random.default_rng().integers(2**62):x}")
        np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=shape).flush()
        if path.exists():
            draft.unlink()
        else:
            draft.replace(path)
    return np.lib.format.open_memmap(path, mode="r+")
