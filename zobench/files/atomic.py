"""Replaces files atomically: a reader sees the old or the new content, also after a crash."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from zobench.errors import ConfigError, DamagedError, StoreError

from .location import Place

ADVICE = "restore it from a copy, or delete the run's folder and run it anew"

CONTENT_ERRORS = (
    AttributeError,
    ConfigError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""The errors of code that reads a file with unexpected content."""

IN_THE_WAY = "a file or folder of another kind is in the way: choose another place"

OPEN_FILES = "raise the limit of open files (ulimit -n)"

REMEDIES: Mapping[int | None, str] = {
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "free some space, or choose another place",
    errno.EACCES: "mend the permissions, or choose another place",
    errno.EPERM: "mend the permissions, or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.EEXIST: IN_THE_WAY,
    errno.EISDIR: IN_THE_WAY,
    errno.ENOTDIR: IN_THE_WAY,
    errno.ENOTEMPTY: IN_THE_WAY,
    errno.ENOENT: "it was moved or deleted meanwhile",
    errno.EFBIG: "raise the limit of file sizes, or choose another place",
    errno.EMFILE: OPEN_FILES,
    errno.ENFILE: OPEN_FILES,
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What a user can do about an ``OSError``, by its number."""

DRAFT = ".part"
"""Suffix of the name of a draft, the temporary file that is being written."""


@contextlib.contextmanager
def disk_errors(place: Place) -> Iterator[None]:
    """Turns an ``OSError`` of the block into a :class:`StoreError` with advice for the user."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno, "choose another place, or look at the disk")
        raise StoreError(
            f"{place} cannot be read or written: {error.strerror or error}; what was stored before is "
            f"safe; {remedy}"
        ) from error


@contextlib.contextmanager
def damage(place: Place) -> Iterator[None]:
    """Turns an error about the content of ``place`` into a :class:`DamagedError` that names it."""
    try:
        yield
    except CONTENT_ERRORS as error:
        fault = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(place, fault) from error


def damaged(place: Place, fault: object) -> DamagedError:
    """The error about a stored file whose content is not what was written."""
    return DamagedError(f"{place} is damaged: {fault}", ADVICE)


def missing(place: Place) -> DamagedError:
    """The error about a stored file that is not there any more."""
    return DamagedError(f"{place} is missing, although it was stored", ADVICE)


@contextlib.contextmanager
def replaced(place: Place, *, durable: bool = True) -> Iterator[Path]:
    """Yields the path of a draft beside a file; after the block, the draft replaces the file.

    Every draft has a unique name, so two processes that write the same file never write into the
    same draft. If the block fails, the draft is deleted and the file stays as it was.

    Args:
        place: The file to replace; its folder is created if it does not exist.
        durable: Whether to wait until the content and the name of the file are on disk. ``False``
            is for a file that may be lost in a crash, such as a cache entry.

    Raises:
        StoreError: The draft cannot be written, or the block raises an :class:`OSError`.
    """
    path = Path(place)
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{DRAFT}")
    with disk_errors(place):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            if durable:
                _wait_for(draft)
            draft.replace(path)
            if durable:
                sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def write_atomically(place: Place, content: bytes | bytearray, *, durable: bool = True) -> None:
    """Replaces the whole content of a file.

    Raises:
        StoreError: The file cannot be written.
    """
    with replaced(place, durable=durable) as draft:
        draft.write_bytes(content)


def require_free(path: Path, *, force: bool) -> None:
    """Checks that a new file may have a name: it is no folder's, and another file's only with ``force``.

    Raises:
        ConfigError: The name is taken, or the file's folder does not exist.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it, such as {path / 'NAME'}")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file that could be replaced; choose another name")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; choose another name, or --force to replace it")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is not a folder; make it first, or choose another name")


def require_writable(folder: Place) -> None:
    """Checks that files can be written to a folder, or that the folder can be made.

    Raises:
        StoreError: The folder cannot be made or written.
    """
    path = Path(folder).absolute()
    with disk_errors(folder):
        while not path.exists():
            path = path.parent
        draft = path / f".writable.{os.getpid()}-{secrets.token_hex(4)}{DRAFT}"
        try:
            draft.touch()
        finally:
            draft.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Waits until the list of file names in a folder is on disk (``fsync``)."""
    _wait_for(path)


def _wait_for(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
