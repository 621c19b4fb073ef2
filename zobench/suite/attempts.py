"""Runs without locks, for engines whose dead workers may live on: each attempt has its own folder.

An attempt goes on from the furthest state that it finds, its own or another's, works in its own
folder under ``.attempts``, and puts it in the run's place by one rename once it ended. An earlier
attempt that was thought dead can then spoil nothing: it writes elsewhere, and if it ends second, it
yields. Where there is no common filesystem, the run is published to a URL besides.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from zobench.errors import ZobenchError
from zobench.files import files
from zobench.records import run_folder as store
from zobench.records.urls import copies as places
from zobench.runs.signals import Stop

from .planning import Job
from .work import FileListener, Outcome, Progressing, work

ATTEMPTS = ".attempts"
FORMER = "former-"
"""Begins the names of folders for what was moved out of a run's place."""

TRIES = 5


def progress_folder(job: Job) -> Path:
    """Where an attempt at a job writes down how far it is."""
    return job.folder.parent / ATTEMPTS / job.folder.name


def attempt(job: Job, listener: Progressing | None = None, stop: Stop | None = None) -> Outcome:
    """Carries a run to its end, whoever else may be at it; never raises for a fault of the run.

    Args:
        job: What to run, and where it belongs.
        listener: Told of progress; it is written to :func:`progress_folder` if ``None``.
        stop: Asks to save and stop.
    """
    if job.url:  # each machine has a disk of its own
        job = replace(job, folder=places.local_folder(job.url) / job.folder.name)
    try:
        if job.url:
            places.fetch_run(job.url, job.folder)
        outcome = Outcome("done")
        if not store.is_done(job.folder):
            outcome = _carried_out(job, listener, stop)
        if job.url:
            outcome = replace(outcome, error=places.named(outcome.error))
            places.publish_run(job.folder, job.url)
            if outcome.state == "done" and not places.is_published(job.folder):
                return Outcome("lost", "the run went away while it was published")
    except (ZobenchError, OSError) as error:
        return Outcome("failed", places.named(str(error)))
    return outcome


def _carried_out(job: Job, listener: Progressing | None, stop: Stop | None) -> Outcome:
    """One attempt, in a folder of its own; a killed one leaves it for the next."""
    own = _begin(job)
    told = listener or FileListener(progress_folder(job))
    outcome = work(replace(job, folder=own), told, stop, alone=True)
    _put_in_place(own, job.folder)
    shutil.rmtree(own.parent, ignore_errors=True)
    if not store.is_done(job.folder):
        return replace(outcome, error=outcome.error.replace(str(own), str(job.folder)))
    _clear(job)
    return Outcome("done", notes=outcome.notes)


def _clear(job: Job) -> None:
    """Removes what is left of attempts at a run that is done; finished ones are their owners'."""
    base = progress_folder(job)
    for other in base.glob("*/"):
        waits = other.name.startswith(FORMER) and not (other / job.folder.name).exists()
        if not waits and not store.rank(other / job.folder.name)[0]:
            shutil.rmtree(other, ignore_errors=True)
    for folder in (base, base.parent):
        with suppress(OSError):  # somebody is still at it, or was quicker
            folder.rmdir()


def _begin(job: Job) -> Path:
    """A folder of one's own, with the furthest state that can be found."""
    base = progress_folder(job)
    own = base / f"{os.getpid()}-{secrets.token_hex(4)}" / job.folder.name
    others = [job.folder, *base.glob(f"*/{job.folder.name}")]
    with files.disk_errors(own):
        _make(own.parent)
        for other in sorted(others, key=store.rank, reverse=True):
            if store.rank(other) == store.NOWHERE:
                break
            try:
                _copy(other, own)
                break
            except (OSError, shutil.Error):  # it went away meanwhile
                shutil.rmtree(own, ignore_errors=True)
    return own


def _make(folder: Path) -> None:
    """Makes a folder whose parents others may be removing for being empty."""
    for left in reversed(range(TRIES)):
        try:
            folder.mkdir(parents=True)
            return
        except FileNotFoundError:
            if not left:
                raise


def _copy(other: Path, own: Path) -> None:
    """Copies a run folder whose writer may be alive.

    The checkpoint goes first, for rows must follow the checkpoint that counts them; then the manifest,
    for once it says that the run is done all else is complete.
    """
    checkpoint = other / store.CHECKPOINT
    if checkpoint.exists():
        (own / store.CHECKPOINT).parent.mkdir(parents=True)
        shutil.copyfile(checkpoint, own / store.CHECKPOINT)
    own.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(other / store.MANIFEST, own / store.MANIFEST)
    left = shutil.ignore_patterns(
        store.MANIFEST,
        store.CHECKPOINT.parent.name,
        store.LOCK,
        store.PROGRESS,
        places.INDEX,
        "*.part",
    )
    shutil.copytree(other, own, ignore=left, dirs_exist_ok=True)
    if store.is_done(own):
        shutil.rmtree(own / store.CHECKPOINT.parent, ignore_errors=True)


def _put_in_place(own: Path, place: Path) -> None:
    """Makes an attempt the run, unless one that is as far has come first.

    Whoever finds something less far in the place moves it aside, looks again at what it moved, and
    goes on with the further of the two until one of them, or another's, is in the place. What is
    moved aside lies among the attempts: there the next one finds it should this one be killed, and
    nobody clears it away if it is done.
    """
    best, moved = own, []
    while store.rank(best) > store.rank(place):
        aside = own.parent.parent / f"{FORMER}{secrets.token_hex(4)}" / place.name
        with files.disk_errors(place):
            _make(aside.parent)
            moved.append(aside.parent)
            with suppress(FileNotFoundError):
                place.rename(aside)
                if store.rank(aside) > store.rank(best):  # it ended between the look and the rename
                    best = aside
            with suppress(FileExistsError, NotADirectoryError):
                _rename(best, place)
    for folder in moved:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        files.sync_folder(place.parent)


def _rename(folder: Path, place: Path) -> None:
    """Renames a folder; a place that is taken is a :class:`FileExistsError` on any system."""
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(error.errno, error.strerror, str(place)) from error
        raise
