"""Runs that are kept at a URL, such as ``s3://bucket/runs``.

Runs are written on a local disk and published. Whatever reads runs from a URL reads a local copy, which
is brought up to date first and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zobench.config import cache_folder
from zobench.errors import ConfigError, StoreError, ZobenchError
from zobench.files import files
from zobench.records import run_folder as store

from . import states
from .filesystems import filesystem, listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

INDEX = ".places.json"
"""In a run that lies at a URL, too: which manifest here is which there."""

FOLDER = "places"
"""In the cache: copies of what lies at URLs."""

ADDRESS = ".url"
"""Beside a copy: of what."""

INCOMING = ".incoming"
"""Beside copies: what is being downloaded."""

TRIES = 3
"""States are replaced while others look at them; whoever misses one looks again."""

KEPT_HERE = (store.LOCK, store.PROGRESS, INDEX)


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL of a filesystem, and no path."""
    return "://" in str(place)


def local_folder(place: str | Path) -> Path:
    """Where the runs of a place lie on this machine: the path itself, or where a URL is copied to.

    Raises:
        ConfigError: It is no URL, or holds what may be a secret.
    """
    if not is_url(place):
        return Path(place)
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
    base = cache_folder() / FOLDER / hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    if not (base / ADDRESS).exists():
        with suppress(StoreError):  # another process writes it, too; only messages need it
            files.write_atomically(base / ADDRESS, url.encode())
    return base / (url.rpartition("/")[2] or "runs")


def named(text: str) -> str:
    """A text that names URLs where it named the copies of what lies at them."""
    base = cache_folder() / FOLDER
    for note in base.glob(f"*/{ADDRESS}") if str(base) in text else []:
        with suppress(ConfigError):  # noted by an older zobench, that took what is refused now
            url = note.read_text()
            text = text.replace(str(local_folder(url)), url)
    return text


@contextmanager
def naming() -> Iterator[None]:
    """Has errors name URLs, as :func:`named` does."""
    try:
        yield
    except ZobenchError as error:
        error.args = (named(str(error)),)
        raise


def fetch(place: str | Path) -> Path:
    """A folder that holds what a place holds: the path itself, or an up-to-date copy of a URL.

    Args:
        place: A run, or a folder of runs.

    Raises:
        ConfigError: No filesystem is known for the URL, or it holds what may be a secret.
        StoreError: It cannot be read.
    """
    local = local_folder(place)
    if not is_url(place):
        return local
    url = str(place).rstrip("/")
    with _filesystem(url) as (system, root):
        there = listed(system, root)
        if _bring(system, root, there, local):
            return local
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
        if not _bring(system, root, listed(system, root), folder):
            _forget(folder, set())


def publish_run(folder: Path, url: str) -> None:
    """Uploads a run; if one that is further lies there, takes that one instead.

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
        names, mine = listed(system, root), store.rank(folder)
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
        yield folder
    finally:
        for run in store.run_folders(folder) if is_url(place) else []:
            if not is_published(run) and not store.is_busy(run):
                publish_run(run, str(place).rstrip("/"))


@contextmanager
def published_run(place: str | Path) -> Iterator[Path]:
    """The local folder of one run to go on with; published again at the end, come what may."""
    if not is_url(place):
        yield Path(place)
        return
    url, _, name = str(place).rstrip("/").rpartition("/")
    folder = local_folder(url) / name  # where it is if it could not be published
    fetch_run(url, folder)
    try:
        yield folder
    finally:
        if not is_published(folder) and not store.is_busy(folder):
            publish_run(folder, url)


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
    """Puts a state in place of a copy that is behind."""
    if _is_kept(folder, there):
        return
    draft = folder.parent / INCOMING / secrets.token_hex(4)
    try:
        there.download(draft)
        _note(draft, there)
        if not _is_kept(folder, there):
            with files.disk_errors(folder):
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_kept(folder: Path, there: states.State) -> bool:
    """Whether a run here is to stay: it is that state, is written to, or goes beyond what is there."""
    if not store.is_run(folder):
        return False
    with suppress(StoreError):
        if files.read_json(folder / INDEX)["there"] == there.mark:
            return True
    if store.is_busy(folder):
        return True
    return not (is_published(folder) or there.rank[0]) and store.rank(folder) >= there.rank


def _forget(local: Path, runs: set[str]) -> None:
    """Copies of runs that are not there any more."""
    for folder in store.run_folders(local) if local.is_dir() else []:
        if is_published(folder) and folder.name not in runs and not store.is_busy(folder):
            shutil.rmtree(folder, ignore_errors=True)
