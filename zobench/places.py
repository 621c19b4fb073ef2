"""Runs that are kept at a URL, such as ``s3://bucket/runs``.

Runs are written on a local disk and published. Whatever reads runs from a URL reads a local copy, which
is brought up to date first and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import files, states, store
from .config import cache_folder
from .errors import StoreError, ZobenchError
from .filesystems import filesystem, listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

INDEX = ".places.json"
"""In a run that lies at a URL, too: which manifest here is which there."""

FOLDER = "places"
"""In the cache: copies of what lies at URLs."""

KEPT_HERE = (store.LOCK, store.PROGRESS, INDEX)


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL of a filesystem, and no path."""
    return "://" in str(place)


def local_folder(place: str | Path) -> Path:
    """Where the runs of a place lie on this machine: the path itself, or where a URL is copied to."""
    if not is_url(place):
        return Path(place)
    url = str(place).rstrip("/")
    name = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return cache_folder() / FOLDER / name / (url.rpartition("/")[2] or "runs")


def place_of(folder: Path, place: str | Path) -> str:
    """How to name a run to whoever asked for a place.

    Args:
        folder: Of the run on this machine.
        place: The run's, or that of the folder of runs in which it lies.
    """
    if not is_url(place):
        return str(folder)
    return str(place).rstrip("/") + str(folder).removeprefix(str(local_folder(place)))


def fetch(place: str | Path) -> Path:
    """A folder that holds what a place holds: the path itself, or an up-to-date copy of a URL.

    Args:
        place: A run, or a folder of runs.

    Raises:
        ConfigError: No filesystem is known for the URL.
        StoreError: It cannot be read.
    """
    local = local_folder(place)
    if not is_url(place):
        return local
    url = str(place).rstrip("/")
    with _filesystem(url) as (system, root):
        there = listed(system, root)
        if state := states.furthest(system, root, there):
            _copy_here(state, local)
            return local
        runs: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, note in there.items():
            run, _, path = name.partition("/")
            runs[run][path] = note
        found = set()
        for run, notes in runs.items():
            if state := states.furthest(system, f"{root}/{run}", notes):
                _copy_here(state, local / run)
                found.add(run)
        _forget(local, found)
    return local


def fetch_run(url: str, folder: Path) -> None:
    """Brings the copy of one run up to date, if it is there at all.

    Args:
        url: Of the run's folder of runs.
        folder: Of the copy; its name is the run's.

    Raises:
        StoreError: It cannot be read.
    """
    with _filesystem(f"{url}/{folder.name}") as (system, root):
        if state := states.furthest(system, root, listed(system, root)):
            _copy_here(state, folder)


def publish_run(folder: Path, url: str) -> None:
    """Uploads a run, its manifest last; one that is further, or done, is left alone there.

    Args:
        folder: Of the run here.
        url: Of the folder of runs that it belongs to.

    Raises:
        StoreError: It cannot be written; the run here is whole.
    """
    if not store.is_run(folder):
        return
    (folder / INDEX).unlink(missing_ok=True)
    with _filesystem(f"{url.rstrip('/')}/{folder.name}") as (system, root):
        there = states.furthest(system, root, listed(system, root))
        mine = states.progress(store.read_manifest(folder))
        if there is None or not (there.done or there.progress > mine):
            there = states.upload(system, root, folder, left=KEPT_HERE)
        _note(folder, there)


def _filesystem(url: str) -> AbstractContextManager[tuple[AbstractFileSystem, str]]:
    return filesystem(url, safe=str(cache_folder() / FOLDER))


def _note(folder: Path, there: states.State) -> None:
    """Notes which manifest here is which there."""
    files.write_json(folder / INDEX, {"here": _digest(folder), "there": there.mark})


def _digest(folder: Path) -> str:
    return hashlib.blake2b((folder / store.MANIFEST).read_bytes(), digest_size=16).hexdigest()


def is_published(folder: Path) -> bool:
    """Whether a run is at its URL as it is here."""
    try:
        return bool(files.read_json(folder / INDEX)["here"] == _digest(folder))
    except (StoreError, OSError):
        return False


@contextmanager
def published(place: str | Path) -> Iterator[Path]:
    """A local folder of runs to write to; what is not published is at the end, come what may."""
    folder = local_folder(place)
    try:
        with _told_as(place, folder):
            yield folder
    finally:
        for run in store.run_folders(folder) if is_url(place) else []:
            if not is_published(run) and not store.is_busy(run):
                publish_run(run, str(place).rstrip("/"))


@contextmanager
def published_run(place: str | Path) -> Iterator[Path]:
    """The local folder of one run to go on with; published again at the end, come what may."""
    folder = fetch(place)
    try:
        with _told_as(place, folder):
            yield folder
    finally:
        if is_url(place):
            publish_run(folder, str(place).rstrip("/").rpartition("/")[0])


@contextmanager
def _told_as(place: str | Path, folder: Path) -> Iterator[None]:
    """Has errors name the place that was asked for, not the copy of it."""
    try:
        yield
    except ZobenchError as error:
        if is_url(place):
            named = str(place).rstrip("/")
            error.args = tuple(str(word).replace(str(folder), named) for word in error.args)
        raise


def _copy_here(there: states.State, folder: Path) -> None:
    """Downloads a run whose manifest has changed; a finished one that is not published stays."""
    if store.is_run(folder):
        with suppress(StoreError):
            if files.read_json(folder / INDEX)["there"] == there.mark:
                return
        if store.is_done(folder) and not is_published(folder):
            return
    there.download(folder)
    _note(folder, there)


def _forget(local: Path, runs: set[str]) -> None:
    """Copies of runs that are not there any more."""
    for folder in store.run_folders(local) if local.is_dir() else []:
        if is_published(folder) and folder != local and folder.name not in runs:
            shutil.rmtree(folder, ignore_errors=True)
