"""Runs without locks, for engines whose dead workers may live on: each attempt has its own folder.

An attempt goes on from the furthest state that it finds, its own or another's, works in its own
folder under ``.attempts``, and puts it in the run's place by one rename once it ended. An earlier
attempt that was thought dead can then spoil nothing: it writes elsewhere, and if it ends second, it
yields. Where there is no common filesystem, the run is published to a URL besides.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .. import files, places, store
from ..errors import StoreError, ZobenchError
from ..signals import Stop
from .planning import Job
from .work import FileListener, Outcome, Progressing, work

ATTEMPTS = ".attempts"
Rank = tuple[bool, int, int]
"""How far a run is: whether it is done, edits that are scored, queries at its checkpoint."""

NOWHERE: Rank = (False, -1, -1)


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
    try:
        if job.url:
            places.fetch_run(job.url, job.folder)
        outcome = Outcome("done")
        if not store.is_done(job.folder):
            outcome = _carried_out(job, listener, stop)
        if job.url:
            places.publish_run(job.folder, job.url)
    except (ZobenchError, OSError) as error:
        return Outcome("failed", str(error))
    return outcome


def _carried_out(job: Job, listener: Progressing | None, stop: Stop | None) -> Outcome:
    """One attempt, in a folder of its own; a killed one leaves it for the next."""
    own = _begin(job)
    told = listener or FileListener(progress_folder(job))
    outcome = work(replace(job, folder=own), told, stop, alone=True)
    _put_in_place(own, job.folder)
    shutil.rmtree(own.parent, ignore_errors=True)
    if not store.is_done(job.folder):
        return outcome
    shutil.rmtree(progress_folder(job), ignore_errors=True)  # nobody needs others' attempts now
    with suppress(OSError):  # the last one leaves no trace
        progress_folder(job).parent.rmdir()
    return Outcome("done")


def _begin(job: Job) -> Path:
    """A folder of one's own, with the furthest state that can be found."""
    base = progress_folder(job)
    own = base / f"{os.getpid()}-{secrets.token_hex(4)}" / job.folder.name
    others = [job.folder, *base.glob(f"*/{job.folder.name}")]
    with files.disk_errors(own):
        own.parent.mkdir(parents=True)
        for other in sorted(others, key=_rank, reverse=True):
            if _rank(other) == NOWHERE:
                break
            try:
                _copy(other, own)
                break
            except (OSError, shutil.Error):  # it went away meanwhile
                shutil.rmtree(own, ignore_errors=True)
    return own


def _rank(folder: Path) -> Rank:
    """How far the run in a folder is; :data:`NOWHERE` if nothing useful lies there."""
    try:
        done, scored, queries = store.is_done(folder), 0, 0
        if not store.is_run(folder):
            return NOWHERE
        if (folder / store.SCORES).exists():
            scored = len(files.read_json(folder / store.SCORES)["edits"])
        if (folder / store.CHECKPOINT).exists():
            queries = files.read_tensors(folder / store.CHECKPOINT)[1]["counts"]["queries"]
    except (ZobenchError, OSError, KeyError):
        return NOWHERE
    return done, scored, queries


def _copy(other: Path, own: Path) -> None:
    """Copies a run folder whose writer may be alive: rows follow the checkpoint that needs them."""
    checkpoint = other / store.CHECKPOINT
    if checkpoint.exists():
        (own / store.CHECKPOINT).parent.mkdir(parents=True)
        shutil.copyfile(checkpoint, own / store.CHECKPOINT)
    left = shutil.ignore_patterns(
        store.LOCK, store.PROGRESS, "*.part", store.CHECKPOINT.parent.name, ATTEMPTS
    )
    shutil.copytree(other, own, ignore=left, dirs_exist_ok=True)
    if store.is_done(own):  # it ended just now
        shutil.rmtree(own / store.CHECKPOINT.parent, ignore_errors=True)


def _put_in_place(own: Path, place: Path) -> None:
    """Makes an attempt the run, unless one that is as far has come first."""
    rank = _rank(own)
    if rank == NOWHERE or (_rank(place) >= rank and store.is_done(place)):
        return
    if not rank[0] and _rank(place) > rank:
        return
    former = own.parent / "former"
    with files.disk_errors(place):
        with suppress(FileNotFoundError):
            place.rename(former)
        if _rank(former)[0]:  # another has ended between the look and the rename
            with suppress(OSError):
                former.rename(place)
            return
        try:
            own.rename(place)
        except OSError as error:
            if not place.is_dir():
                raise StoreError(f"{own} cannot be put at {place}: {error.strerror}") from error
        files.sync_folder(place.parent)
