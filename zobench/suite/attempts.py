"""Attempts at runs without locks, for engines whose lost workers may live on.

Each attempt goes on from the furthest state that it finds, its own or another's, works in its own
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

from zobench.contracts.executor import Outcome
from zobench.errors import ZobenchError
from zobench.files.atomic import DRAFT, disk_errors, sync_folder
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.standing import NOWHERE, is_done, rank
from zobench.records.urls import copies
from zobench.runs.signals import Stop

from .planning import Job
from .work import ProgressFile, Progressing, work

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
        job = replace(job, folder=copies.local_copy(job.url).path / job.folder.name)
    try:
        if job.url:
            copies.fetch_run(job.url, job.folder)
        outcome = Outcome("done")
        if not is_done(job.folder):
            outcome = _carried_out(job, listener, stop)
        if job.url:
            copies.publish_run(job.folder, job.url)
            if outcome.state == "done" and not copies.is_published(job.folder):
                return Outcome("lost", "the run went away while it was published")
    except (ZobenchError, OSError) as error:
        return Outcome("failed", str(error))
    return outcome


def _carried_out(job: Job, listener: Progressing | None, stop: Stop | None) -> Outcome:
    """One attempt, in a folder of its own; a killed one leaves it for the next."""
    own = _begin(job)
    told = listener or ProgressFile(progress_folder(job))
    outcome = work(job, told, stop, Location(own, str(job.location)))
    _put_in_place(own, job.folder)
    shutil.rmtree(own.parent, ignore_errors=True)
    if not is_done(job.folder):
        return outcome
    _clear(job)
    return Outcome("done", notes=outcome.notes)


def _clear(job: Job) -> None:
    """Removes what is left of attempts at a run that is done; finished ones are their owners'."""
    base = progress_folder(job)
    for other in base.glob("*/"):
        waits = other.name.startswith(FORMER) and not (other / job.folder.name).exists()
        if not waits and not rank(other / job.folder.name)[0]:
            shutil.rmtree(other, ignore_errors=True)
    for folder in (base, base.parent):
        with suppress(OSError):  # somebody is still at it, or was quicker
            folder.rmdir()


def _begin(job: Job) -> Path:
    """A folder of one's own, with the furthest state that can be found."""
    base = progress_folder(job)
    own = base / f"{os.getpid()}-{secrets.token_hex(4)}" / job.folder.name
    others = [job.folder, *base.glob(f"*/{job.folder.name}")]
    with disk_errors(own):
        _make(own.parent)
        for other in sorted(others, key=rank, reverse=True):
            if rank(other) == NOWHERE:
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
    checkpoint = other / layout.CHECKPOINT
    if checkpoint.exists():
        (own / layout.CHECKPOINT).parent.mkdir(parents=True)
        shutil.copyfile(checkpoint, own / layout.CHECKPOINT)
    own.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(other / layout.MANIFEST, own / layout.MANIFEST)
    left = shutil.ignore_patterns(
        layout.MANIFEST,
        layout.CHECKPOINT.parent.name,
        layout.LOCK,
        layout.PROGRESS,
        copies.INDEX,
        f"*{DRAFT}",
    )
    shutil.copytree(other, own, ignore=left, dirs_exist_ok=True)
    if is_done(own):
        shutil.rmtree(own / layout.CHECKPOINT.parent, ignore_errors=True)


def _put_in_place(own: Path, place: Path) -> None:
    """Makes an attempt the run, unless one that is as far has come first.

    If the place holds a run that is less far, that run is moved aside, its rank is read again, and the
    further of the two goes on until one of them, or another attempt's run, is in the place. A run that
    is moved aside lies among the attempts: the next attempt finds it there if this one is killed, and
    a finished one is never removed.
    """
    best, moved = own, []
    while rank(best) > rank(place):
        aside = own.parent.parent / f"{FORMER}{secrets.token_hex(4)}" / place.name
        with disk_errors(place):
            _make(aside.parent)
            moved.append(aside.parent)
            with suppress(FileNotFoundError):
                place.rename(aside)
                if rank(aside) > rank(best):  # it ended between the look and the rename
                    best = aside
            with suppress(FileExistsError, NotADirectoryError):
                _rename(best, place)
    for folder in moved:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        sync_folder(place.parent)


def _rename(folder: Path, place: Path) -> None:
    """Renames a folder; a place that is taken is a :class:`FileExistsError` on any system."""
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(error.errno, error.strerror, str(place)) from error
        raise
