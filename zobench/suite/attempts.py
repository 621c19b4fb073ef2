"""Attempts at runs without locks, for executors whose lost workers may still be alive.

Each attempt resumes from the state with the highest rank, works in a separate folder under
``.attempts``, and renames that folder to the run folder when the attempt ends. A lost worker
that is still alive cannot damage the run: it writes to a different folder, and if its attempt
ends later, the earlier run stays. Without a shared filesystem, the run is published to a URL.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from zobench.billing.bill import BILL, BILL_END
from zobench.contracts.executor import Outcome
from zobench.errors import StoreError, ZobenchError
from zobench.files.atomic import DRAFT, disk_errors, sync_folder
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.manifest import read_manifest
from zobench.records.standing import NOWHERE, Rank, is_done, lock_state, rank
from zobench.records.urls import copies
from zobench.runs.signals import Stop

from .planning import Job
from .work import ProgressFile, Progressing, work

ATTEMPTS = ".attempts"
FORMER = "former-"
"""Folder name prefix of attempts that were moved out of the run folder's path."""

TRIES = 5
SECONDS = 0.2
"""Seconds between two tries of a copy."""


def progress_folder(job: Job) -> Path:
    """The folder where an attempt at a job writes its progress."""
    return job.folder.parent / ATTEMPTS / job.folder.name


def attempt(job: Job, listener: Progressing | None = None, stop: Stop | None = None) -> Outcome:
    """Completes a run, even while other attempts at it run; a fault of the run raises no error.

    Args:
        job: The run and its folder.
        listener: Receives the progress; if ``None``, it is written to :func:`progress_folder`.
        stop: Tells the run to save its state and stop.
    """
    if job.url:  # machines do not share a disk
        job = replace(job, folder=copies.local_copy(job.url).path / job.folder.name)
    outcome = Outcome("done")
    try:
        if job.url:
            copies.fetch_run(job.url, job.folder)
        if not is_done(job.folder):
            outcome = _carried_out(job, listener, stop)
        if job.url and outcome.state != "busy":
            copies.publish_run(job.folder, job.url)
            if outcome.state == "done" and not copies.is_published(job.folder):
                return Outcome("lost", "the run was removed while it was published")
    except (ZobenchError, OSError) as error:
        before = f"{outcome.error}; then: " if outcome.error else ""
        code = error.exit_code if isinstance(error, ZobenchError) else outcome.exit_code
        return Outcome("failed", f"{before}{error}", outcome.notes, code)
    return outcome


def _carried_out(job: Job, listener: Progressing | None, stop: Stop | None) -> Outcome:
    """One attempt in a separate folder; if the attempt is killed, the next one reads the folder."""
    own = _begin(job)
    told = listener or ProgressFile(progress_folder(job))
    outcome = work(job, told, stop, Location(own, str(job.location)))
    if not _put_in_place(own, job.folder):
        busy = Outcome("busy", "another process writes to the run folder", outcome.notes)
        return busy if outcome.state == "done" else outcome
    shutil.rmtree(own.parent, ignore_errors=True)
    if not is_done(job.folder):
        return outcome
    clear(job)
    return Outcome("done", notes=outcome.notes)


def clear(job: Job) -> None:
    """Removes folders of unfinished attempts at a run that is done; finished attempts stay.

    An attempt calls it when it ends, and a suite calls it for its runs that are done: a process that
    is killed between the two leaves a folder behind, and no other attempt at a finished run begins.
    """
    base = progress_folder(job)
    for other in base.glob("*/"):
        waits = other.name.startswith(FORMER) and not (other / job.folder.name).exists()
        if not waits and not rank(other / job.folder.name)[0]:
            shutil.rmtree(other, ignore_errors=True)
    for folder in (base, base.parent):
        with suppress(OSError):  # another attempt uses or has removed the folder
            folder.rmdir()


def _begin(job: Job) -> Path:
    """A new attempt folder with a copy of the state with the highest rank."""
    base = progress_folder(job)
    own = base / f"{os.getpid()}-{secrets.token_hex(4)}" / job.folder.name
    others = [job.folder, *base.glob(f"*/{job.folder.name}")]
    with disk_errors(own):
        _make(own.parent)
        for other in sorted(others, key=_rank, reverse=True):
            if rank(other) == NOWHERE or _copied(other, own):
                break
    return own


def _copied(other: Path, own: Path) -> bool:
    """Whether a state could be copied before its folder was removed.

    A writer that is alive removes files now and then, so a failure is tried again.

    Raises:
        OSError: It cannot be copied, such as for a full disk.
    """
    for left in reversed(range(TRIES)):
        try:
            _copy(other, own)
            return True
        except OSError:
            shutil.rmtree(own, ignore_errors=True)
            if not other.exists():
                return False
            if not left:
                raise
            time.sleep(SECONDS)
    raise AssertionError("unreachable")


def _make(folder: Path) -> None:
    """Makes a folder, also while other attempts remove its empty parents."""
    for left in reversed(range(TRIES)):
        try:
            folder.mkdir(parents=True)
            return
        except FileNotFoundError:
            if not left:
                raise


def _copy(other: Path, own: Path) -> None:
    """Copies a run folder whose writer may be alive.

    The checkpoint and the end of the bill are copied first, so that all rows that they count are
    copied after them. The manifest is next: once its status is ``done``, all other files are complete.
    """
    own.mkdir(parents=True)
    for name in (layout.CHECKPOINT, BILL_END, layout.MANIFEST):
        if (other / name).exists():
            (own / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(other / name, own / name, follow_symlinks=False)
    left = shutil.ignore_patterns(
        layout.MANIFEST,
        layout.CHECKPOINT.parent.name,
        BILL_END,
        layout.LOCK,
        layout.PROGRESS,
        copies.INDEX,
        f"*{DRAFT}",
    )
    shutil.copytree(other, own, symlinks=True, ignore=left, dirs_exist_ok=True)
    # the other run may have ended since its checkpoint was copied
    if is_done(own) and (other / layout.CHECKPOINT).exists():
        shutil.copyfile(other / layout.CHECKPOINT, own / layout.CHECKPOINT, follow_symlinks=False)


def _put_in_place(own: Path, place: Path) -> bool:
    """Renames an attempt to the run folder, unless the run there has at least the same rank.

    If ``place`` holds a run of lower rank, that run is moved aside and its rank is read again. The
    run with the higher rank is renamed to ``place``. These steps repeat if another attempt renames
    its run first. A run moved aside is under ``.attempts``, so the next attempt finds it if this
    one is killed. A finished run is deleted only if ``place`` holds another finished run.

    Returns:
        ``False`` if a process that takes locks, such as ``zobench resume``, writes to ``place``: nothing
        is moved from under its hands, and the attempt stays where the next one finds it.
    """
    best = own
    moved: list[Path] = []
    while _rank(best) > _rank(place):
        if lock_state(place) == "held":
            for folder in moved:
                with suppress(OSError):  # it holds a run
                    folder.rmdir()
            return False
        aside = own.parent.parent / f"{FORMER}{secrets.token_hex(4)}" / place.name
        with disk_errors(place):
            _make(aside.parent)
            moved.append(aside.parent)
            with suppress(FileNotFoundError):
                place.rename(aside)
                if _rank(aside) > _rank(best):  # its rank rose between the check and the rename
                    best = aside
            with suppress(FileExistsError, NotADirectoryError):
                _rename(best, place)
    for folder in moved:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        sync_folder(place.parent)
    return True


def _rank(folder: Path) -> tuple[Rank, int, int]:
    """The rank; of equal unfinished runs, the larger bill, then the later attempt, ranks higher."""
    its, bill, attempts = rank(folder), 0, 0
    if not its[0]:
        with suppress(OSError):
            bill = (folder / BILL).stat().st_size
        with suppress(StoreError):
            attempts = read_manifest(folder).resumed
    return its, bill, attempts


def _rename(folder: Path, place: Path) -> None:
    """Renames a folder; raises :class:`FileExistsError` on any system if ``place`` is taken."""
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(error.errno, error.strerror, str(place)) from error
        raise
