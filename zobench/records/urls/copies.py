"""Local copies of runs that are kept at a URL, such as ``s3://bucket/runs``.

A run is written on a local disk and published to its URL. Readers of a URL read a local copy, which is
brought up to date first and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zobench.errors import ConfigError, StoreError, ZobenchError
from zobench.files.atomic import disk_errors
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.paths import cache_folder
from zobench.records import layout, standing

from . import states
from .filesystems import filesystem, listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PathOrUrl = str | Path
"""A path, or a URL of a filesystem."""

INDEX = ".published.json"
"""In the copy of a published run: which manifest here is which there."""

FOLDER = "urls"
"""In the cache: copies of the runs at URLs."""

INCOMING = ".incoming"
"""Beside copies: downloads that are under way."""

TRIES = 3
"""A state may be replaced while it is read; the reader then looks again."""

KEPT_HERE = (layout.LOCK, layout.PROGRESS, INDEX)


def is_url(place: PathOrUrl) -> bool:
    """Whether a place is a URL of a filesystem, and no path."""
    return "://" in str(place)


def local_copy(place: PathOrUrl) -> Location:
    """The folder on this machine for the runs of a place: the path itself, or the copy of a URL.

    Raises:
        ConfigError: It is no URL, or holds what may be a secret.
    """
    if not is_url(place):
        return Location(Path(place))
    url = str(place).rstrip("/")
    try:
        parts = [urlsplit(part) for part in url.split("::")]
    except ValueError as error:
        raise ConfigError(f"{url} is no URL: {error}") from error
    if any(
        part.password or part.query or (part.username and "http" in part.scheme) for part in parts
    ):
        raise ConfigError(
            "the URL of runs holds a password, a token or a query, and URLs are printed; put it where "
            "the filesystem looks for it, such as its environment variables"
        )
    name = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return Location(cache_folder() / FOLDER / name / (url.rpartition("/")[2] or "runs"), url)


def fetch(place: PathOrUrl) -> Location:
    """The runs of a place on this machine: the path itself, or an up-to-date copy of a URL.

    Args:
        place: A run, or a folder of runs.

    Raises:
        ConfigError: No filesystem is known for the URL, or it holds what may be a secret.
        StoreError: It cannot be read.
    """
    location = local_copy(place)
    if not is_url(place):
        return location
    url, local = str(place).rstrip("/"), location.path
    with _filesystem(url) as (system, root):
        there = listed(system, root)
        if _bring(system, root, there, local):
            return location
        runs: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, note in there.items():
            run, _, path = name.partition("/")
            runs[run][path] = note
        found = {
            run
            for run, notes in runs.items()
            if _bring(system, f"{root}/{run}", notes, local / run)
        }
        _forget(local, found)
    return location


def fetch_run(url: str, folder: Path) -> None:
    """Brings the copy of one run up to date, if it is there at all.

    Args:
        url: The URL of the run's folder of runs.
        folder: The copy; its name is the run's.

    Raises:
        StoreError: It cannot be read.
    """
    with _filesystem(f"{url}/{folder.name}") as (system, root):
        if not _bring(system, root, listed(system, root), folder):
            _forget(folder, set())


def publish_run(folder: Path, url: str) -> None:
    """Uploads a run; if a run that is further lies there, downloads that one instead.

    Args:
        folder: The run here.
        url: The URL of the folder of runs that it belongs to.

    Raises:
        StoreError: It cannot be written; the run here is whole.
    """
    if not layout.is_run(folder):
        return
    (folder / INDEX).unlink(missing_ok=True)
    with _filesystem(f"{url.rstrip('/')}/{folder.name}") as (system, root):
        names, mine = listed(system, root), standing.rank(folder)
        there = states.furthest(system, root, names)
        if there is None or (not there.rank[0] and there.rank <= mine):
            own = states.upload(system, root, names, folder, left=KEPT_HERE)
            names = listed(system, root)
            there = states.furthest(system, root, names)
            if there is not None and there.root == own:
                _note(folder, there)
                return
        _bring(system, root, names, folder)


def _filesystem(url: str) -> AbstractContextManager[tuple[AbstractFileSystem, str]]:
    return filesystem(url, safe=str(cache_folder() / FOLDER))


def _note(folder: Path, there: states.State) -> None:
    """Notes which manifest here is which there."""
    write_json(folder / INDEX, {"here": _digest(folder), "there": there.mark})


def _digest(folder: Path) -> str:
    return hashlib.blake2b((folder / layout.MANIFEST).read_bytes(), digest_size=16).hexdigest()


def is_published(folder: Path) -> bool:
    """Whether the run at its URL is the one here."""
    try:
        return bool(read_json(folder / INDEX)["here"] == _digest(folder))
    except (StoreError, OSError):
        return False


@contextmanager
def published(place: PathOrUrl) -> Iterator[Location]:
    """A local folder of runs to write to; its runs are published at the end, also after errors."""
    location = local_copy(place)

    def publish() -> None:
        for run in layout.run_folders(location.path) if is_url(place) else []:
            if not is_published(run) and not standing.is_busy(run):
                publish_run(run, str(place).rstrip("/"))

    with _published_afterwards(publish):
        yield location


@contextmanager
def published_run(place: PathOrUrl) -> Iterator[Location]:
    """The local folder of one run to go on with; published again at the end, also after errors."""
    if not is_url(place):
        yield Location(Path(place))
        return
    url, _, name = str(place).rstrip("/").rpartition("/")
    location = local_copy(url) / name  # the run lies there if it could not be published
    folder = location.path
    fetch_run(url, folder)

    def publish() -> None:
        if not is_published(folder) and not standing.is_busy(folder):
            publish_run(folder, url)

    with _published_afterwards(publish):
        yield location


@contextmanager
def _published_afterwards(publish: Callable[[], None]) -> Iterator[None]:
    """Publishes when the block ends; after an error of the block, that error stays the error."""
    try:
        yield
    except ZobenchError as error:
        try:
            publish()
        except StoreError as another:
            error.args = (f"{error}. Its state could not be published either: {another}",)
        raise
    except BaseException:
        with suppress(StoreError):
            publish()
        raise
    publish()


def _bring(
    system: AbstractFileSystem,
    root: str,
    names: Mapping[str, Any],
    folder: Path,
    tries: int = TRIES,
) -> bool:
    """Brings the copy of a run up to date; whether there is such a run."""
    there = states.furthest(system, root, names)
    if there is None:
        return False
    try:
        _take(there, folder)
    except FileNotFoundError:
        if tries == 1:
            raise
        return _bring(system, root, listed(system, root), folder, tries - 1)
    return True


def _take(there: states.State, folder: Path) -> None:
    """Replaces a copy by a state that is further."""
    if _is_kept(folder, there):
        return
    draft = folder.parent / INCOMING / secrets.token_hex(4)
    try:
        there.download(draft)
        _note(draft, there)
        if not _is_kept(folder, there):
            with disk_errors(folder):
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_kept(folder: Path, there: states.State) -> bool:
    """Whether a run here is to stay: it is that state, is being written, or is further."""
    if not layout.is_run(folder):
        return False
    with suppress(StoreError):
        if read_json(folder / INDEX)["there"] == there.mark:
            return True
    if standing.is_busy(folder):
        return True
    return not (is_published(folder) or there.rank[0]) and standing.rank(folder) >= there.rank


def _forget(local: Path, runs: set[str]) -> None:
    """Removes copies of runs that are not at their URL any more."""
    for folder in layout.run_folders(local) if local.is_dir() else []:
        if is_published(folder) and folder.name not in runs and not standing.is_busy(folder):
            shutil.rmtree(folder, ignore_errors=True)
