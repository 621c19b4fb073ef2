"""Local copies of runs that are kept at a URL, such as ``s3://bucket/runs``.

A run is written to a local folder and then uploaded to its URL. To read a URL, zobench updates a
local copy and reads the copy. The copy may be deleted once all its runs are published.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zobench.errors import ConfigError, StoreError, ZobenchError
from zobench.files.atomic import DRAFT, disk_errors
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.files.names import require_plain_path
from zobench.files.regular import content_of
from zobench.paths import cache_folder
from zobench.records import layout, standing

from . import states
from .filesystems import filesystem, listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PathOrUrl = str | Path
"""A path, or a URL of a filesystem."""

INDEX = ".published.json"
"""File in a local copy: the digest of its manifest, and the mark of its state at the URL."""

FOLDER = "urls"
"""Folder in the cache that holds the local copies of runs at URLs."""

INCOMING = ".incoming"
"""Folder beside the local copies that holds unfinished downloads."""

LOCK = "copies.lock"
"""File in :data:`INCOMING` that is locked while a copy is replaced."""

TRIES = 3
"""Attempts to download a run; a state that is replaced meanwhile fails an attempt."""

KEPT_HERE = (layout.LOCK, layout.PROGRESS, INDEX)


def is_url(place: PathOrUrl) -> bool:
    """Whether a place is the URL of a filesystem; otherwise it is a path."""
    return "://" in str(place)


def local_copy(place: PathOrUrl) -> Location:
    """The folder on this machine for the runs of a place: the path itself, or the copy of a URL.

    Raises:
        ConfigError: The URL is not valid, or holds a password, a token or a query.
    """
    if not str(place).strip():
        raise ConfigError("the folder of runs is empty text; name a folder, such as runs, or a URL")
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
            "the URL of runs holds a password, a token or a query, and URLs are printed; give the "
            "secret to the filesystem in another way, such as its environment variables"
        )
    folder = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    name = url.rpartition("/")[2] or "runs"
    try:
        require_plain_path(name, url)
    except StoreError as error:
        raise ConfigError(f"{url} ends in {name!r}, which cannot name a folder of runs") from error
    return Location(cache_folder() / FOLDER / folder / name, url)


def is_copy(path: Path) -> bool:
    """Whether a path lies in the cache's copies of URLs, whose content a later fetch replaces."""
    return path.absolute().is_relative_to((cache_folder() / FOLDER).absolute())


def fetch(place: PathOrUrl) -> Location:
    """The runs of a place on this machine: the path itself, or an up-to-date copy of a URL.

    Args:
        place: A run, or a folder of runs.

    Raises:
        ConfigError: No filesystem is known for the URL, or the URL holds a password, a token or a
            query.
        StoreError: The URL cannot be read.
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
        names = {
            run
            for run, notes in runs.items()
            if _bring(system, f"{root}/{run}", notes, local / run)
        }
        _forget(local, names)
    return location


def fetch_run(url: str, folder: Path) -> None:
    """Updates the local copy of one run; removes a published copy if the URL has no such run.

    Args:
        url: The URL of the folder of runs.
        folder: The local copy; its name is the name of the run folder at the URL.

    Raises:
        StoreError: The URL cannot be read.
    """
    with _filesystem(f"{url}/{folder.name}") as (system, root):
        if not _bring(system, root, listed(system, root), folder):
            _forget(folder, set())


def publish_run(folder: Path, url: str) -> None:
    """Uploads a run; if the URL has a done run or a higher rank, downloads that run instead.

    Args:
        folder: The local run folder; nothing happens if it holds no run.
        url: The URL of the folder of runs.

    Raises:
        StoreError: The URL cannot be read or written; the local run stays complete.
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
    """Writes the digest of the local manifest and the mark of the state to :data:`INDEX`."""
    write_json(folder / INDEX, {"here": _digest(folder), "there": there.mark})


def _digest(folder: Path) -> str:
    return hashlib.blake2b(content_of(folder / layout.MANIFEST), digest_size=16).hexdigest()


def is_published(folder: Path) -> bool:
    """Whether the local manifest is unchanged since it was published or downloaded."""
    try:
        return bool(read_json(folder / INDEX)["here"] == _digest(folder))
    except (StoreError, OSError):
        return False


def require_writable_url(url: str) -> None:
    """Checks that files can be written to a URL, by writing and removing one.

    Raises:
        ConfigError: No filesystem is known for the URL.
        StoreError: The URL cannot be written.
    """
    with _filesystem(url) as (system, root):
        draft = f"{root}/.writable.{secrets.token_hex(4)}{DRAFT}"
        system.pipe_file(draft, b"zobench checks that it may write here")
        system.rm_file(draft)


@contextmanager
def published(place: PathOrUrl) -> Iterator[Location]:
    """A local folder to write runs to; its runs are published at the end, also after an error.

    Raises:
        ConfigError: No filesystem is known for the URL.
        StoreError: The place cannot be written, which is checked before the block begins.
    """
    location = local_copy(place)
    if is_url(place):
        require_writable_url(str(place).rstrip("/"))

    def publish() -> None:
        errors = []
        for run in layout.run_folders(location.path) if is_url(place) else []:
            if not is_published(run) and not standing.is_busy(run):
                try:
                    publish_run(run, str(place).rstrip("/"))
                except StoreError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    with _published_afterwards(publish):
        yield location


@contextmanager
def published_run(place: PathOrUrl) -> Iterator[Location]:
    """The local folder of a run to resume; the run is published at the end, also after an error."""
    if not is_url(place):
        yield Location(Path(place))
        return
    url, _, name = str(place).rstrip("/").rpartition("/")
    location = local_copy(url) / name  # holds the run if publishing it failed
    folder = location.path
    fetch_run(url, folder)

    def publish() -> None:
        if not is_published(folder) and not standing.is_busy(folder):
            publish_run(folder, url)

    with _published_afterwards(publish):
        yield location


@contextmanager
def _published_afterwards(publish: Callable[[], None]) -> Iterator[None]:
    """Publishes when the block ends; an error of the block hides a StoreError of publishing."""
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
    """Updates the local copy of a run; returns whether the URL has the run."""
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
    """Replaces a local copy by a state at the URL, unless :func:`_is_kept` keeps the copy."""
    from filelock import FileLock

    if _is_kept(folder, there):
        return
    draft = folder.parent / INCOMING / secrets.token_hex(4)
    try:
        there.download(draft, left=KEPT_HERE)
        _note(draft, there)
        with disk_errors(folder), ExitStack() as stack:  # another process may fetch it, too
            with suppress(OSError, NotImplementedError):  # some filesystems have no locks
                stack.enter_context(FileLock(draft.parent / LOCK))
            if not _is_kept(folder, there):
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_kept(folder: Path, there: states.State) -> bool:
    """Whether a local run is kept instead of a state at the URL.

    A local run is kept if it is a copy of that state, or if it is busy. A run that changed since it
    was published is also kept if the state is not done and does not have a higher rank.
    """
    if not layout.is_run(folder):
        return False
    with suppress(StoreError):
        if read_json(folder / INDEX)["there"] == there.mark:
            return True
    if standing.is_busy(folder):
        return True
    return not (is_published(folder) or there.rank[0]) and standing.rank(folder) >= there.rank


def _forget(local: Path, runs: set[str]) -> None:
    """Removes published copies of runs that are no longer at the URL; busy copies stay."""
    for folder in layout.run_folders(local) if local.is_dir() else []:
        if is_published(folder) and folder.name not in runs and not standing.is_busy(folder):
            shutil.rmtree(folder, ignore_errors=True)
