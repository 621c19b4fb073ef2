"""Runs that are kept at a URL, such as ``s3://bucket/runs``, through fsspec.

Runs are written on a local disk and published: the manifest goes last, so that a run whose upload was
torn is not seen, or is seen as it was before. Whatever reads runs from a URL reads a local copy, which
is brought up to date first and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import files, store
from .config import cache_folder
from .errors import ConfigError, StoreError, ZobenchError

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
        system.invalidate_cache()
        there = _listed(system, root)
        if store.MANIFEST in there:
            _copy_here(system, root, there, local)
            return local
        runs: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, note in there.items():
            run, _, path = name.partition("/")
            runs[run][path] = note
        for run, notes in runs.items():
            if store.MANIFEST in notes:
                _copy_here(system, f"{root}/{run}", notes, local / run)
        _forget(local, runs)
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
        system.invalidate_cache()
        there = _listed(system, root)
        if store.MANIFEST in there:
            _copy_here(system, root, there, folder)


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
        system.invalidate_cache()
        there = _listed(system, root)
        manifest = store.MANIFEST
        if not _is_behind(system, root, there, folder):
            _note(folder, there[manifest])
            return
        names = [
            str(path.relative_to(folder))
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in KEPT_HERE and path.suffix != ".part"
        ]
        last = [name for name in names if name.startswith(store.CHECKPOINT.parent.name)]
        first = [name for name in names if name not in (*last, manifest)]
        for group in (first, last):
            if group:
                _put(system, root, folder, group)
        system.invalidate_cache()
        now = _listed(system, root)
        if _is_behind(system, root, now, folder):  # nobody has ended it meanwhile
            _put(system, root, folder, [manifest])
        stale = [f"{root}/{name}" for name in there if name not in names]
        if stale:
            system.rm(stale)
        system.invalidate_cache()
        _note(folder, _listed(system, root)[manifest])


def _put(system: AbstractFileSystem, root: str, folder: Path, names: Sequence[str]) -> None:
    system.put([str(folder / name) for name in names], [f"{root}/{name}" for name in names])


def _is_behind(
    system: AbstractFileSystem, root: str, there: Mapping[str, Any], folder: Path
) -> bool:
    """Whether what is at a URL is less far than what is here."""
    if store.MANIFEST not in there:
        return True
    manifest = json.loads(system.cat_file(f"{root}/{store.MANIFEST}"))
    return _progress(manifest) < _progress(store.read_manifest(folder)) or (
        manifest["status"] != "done"
        and _progress(manifest) == _progress(store.read_manifest(folder))
    )


def _progress(manifest: Mapping[str, Any]) -> tuple[bool, int, int]:
    """How far a run is: whether it is done, and images that were asked for, by purpose."""
    ledger = manifest["ledger"]
    asked = [int(ledger[purpose]["queries"]) for purpose in ("score", "optimize")]
    return manifest["status"] == "done", asked[0], asked[1]


def _note(folder: Path, there: Mapping[str, Any]) -> None:
    """Notes which manifest here is which there."""
    files.write_json(folder / INDEX, {"here": _digest(folder), "there": _mark(there)})


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
    folder = fetch(place)
    try:
        yield folder
    finally:
        if is_url(place):
            publish_run(folder, str(place).rstrip("/").rpartition("/")[0])


def _copy_here(
    system: AbstractFileSystem, root: str, there: Mapping[str, Any], folder: Path
) -> None:
    """Downloads a run whose manifest has changed; a finished one that is not published stays."""
    mark = _mark(there[store.MANIFEST])
    if store.is_run(folder):
        with suppress(StoreError):
            if files.read_json(folder / INDEX)["there"] == mark:
                return
        if store.is_done(folder) and not is_published(folder):
            return
    shutil.rmtree(folder, ignore_errors=True)
    with files.disk_errors(folder):
        for group in ([name for name in there if name != store.MANIFEST], [store.MANIFEST]):
            targets = [folder / name for name in group]
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
            if group:
                system.get([f"{root}/{name}" for name in group], [str(each) for each in targets])
    _note(folder, there[store.MANIFEST])


def _forget(local: Path, runs: Iterable[str]) -> None:
    """Copies of runs that are not there any more."""
    for folder in store.run_folders(local) if local.is_dir() else []:
        if is_published(folder) and folder != local and folder.name not in runs:
            shutil.rmtree(folder, ignore_errors=True)


def _listed(system: AbstractFileSystem, root: str) -> dict[str, Any]:
    """All files below a folder by their relative names, with what the filesystem says of each."""
    try:
        found = system.find(root, detail=True)
    except FileNotFoundError:
        return {}
    return {name.removeprefix(root).lstrip("/"): note for name, note in found.items()}


def _mark(note: Mapping[str, Any]) -> str:
    """Changes whenever the file does, as far as the filesystem tells."""
    return hashlib.blake2b(
        json.dumps(dict(note), sort_keys=True, default=str).encode(), digest_size=16
    ).hexdigest()


@contextmanager
def _filesystem(url: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    """The filesystem of a URL and the path in it; its faults become errors of ours."""
    import fsspec

    scheme = url.partition("://")[0]
    if urlsplit(url).password is not None:
        raise ConfigError(
            "the URL of runs holds a password, and URLs are printed; put it where the filesystem looks "
            "for it, such as its environment variables"
        )
    try:
        options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
        system, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        extra = {"s3": "s3", "gs": "gs", "gcs": "gs"}.get(scheme)
        advice = f"pip install 'zobench[{extra}]'" if extra else "see fsspec's list of filesystems"
        raise ConfigError(f"{url}: {error}; {advice}") from error
    try:
        yield system, root.rstrip("/")
    except ZobenchError:
        raise
    except Exception as error:  # every filesystem has its own
        raise StoreError(
            f"{url} cannot be read or written: {type(error).__name__}: {error}; what was computed is "
            f"safe in {cache_folder() / FOLDER}: mend the access, then run the same command again"
        ) from error
