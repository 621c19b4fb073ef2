"""Opens regular files only: links are not followed, and devices and pipes are not opened.

A folder of runs may come from somebody else. A link planted in it could otherwise lead a write to
any file of the user, and a pipe would make a read wait forever.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zobench.errors import StoreError

from .location import Place

MAX_BYTES = 64 * 2**30
"""Largest size of a file that is read into memory; embeddings of ten million images have 40 GB."""

READ = os.O_RDONLY
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
UPDATE = os.O_RDWR
CREATE = os.O_RDWR | os.O_CREAT


@contextmanager
def opened(place: Place, flags: int = READ) -> Iterator[int]:
    """A descriptor of a regular file.

    Raises:
        StoreError: The path is a link, a folder, a device or a pipe.
        OSError: The file is missing or cannot be opened.
    """
    careful = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(Path(place), careful, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{place} is a link; {_ADVICE}") from error
        if error.errno == errno.ENXIO:  # a pipe without a reader, or a socket
            raise StoreError(f"{place} is no regular file; {_ADVICE}") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{place} is no regular file; {_ADVICE}")
        yield descriptor
    finally:
        os.close(descriptor)


def content_of(place: Place) -> bytes:
    """The whole content of a regular file.

    Raises:
        StoreError: The path is no regular file, or the file is larger than :data:`MAX_BYTES`.
        OSError: The file is missing or cannot be read.
    """
    with opened(place) as descriptor:
        size = os.fstat(descriptor).st_size
        if size > MAX_BYTES:
            raise StoreError(f"{place} has {size:,} bytes; at most {MAX_BYTES:,} are read")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read()


def require_no_link(place: Place) -> None:
    """Raises if a path is a link.

    Raises:
        StoreError: The path is a link.
    """
    if Path(place).is_symlink():
        raise StoreError(f"{place} is a link; {_ADVICE}")


_ADVICE = "zobench follows no links in a run folder: put the file itself there, or remove it"
