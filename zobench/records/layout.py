"""The names of the files of a run folder.

::

    runs/<run-id>/
      manifest.json        config, data, versions and run status; ``status: done`` is written last
      trace.jsonl          one row per tell; equal runs have equal bytes
      timing.jsonl         one row per tell with its duration
      images.json          names of the train and test images, if the dataset has files
      setup.safetensors    embeddings of the clean training images
      snapshots/           recommended edits, one file per query count
      scores.json          the result of scoring each edit
      bill.jsonl           requests to a rented encoder, if it is one
      bill.end             the number of rows of the bill, to notice a bill that was cut short
      answers/             answers of the oracle, if the run was recorded
      edit.npy, *.png      the last edit and its pictures
      traceback.txt        of an exception in the code of a plugin
      checkpoint/          state to resume from; replaced atomically; kept for extensions

Rows are appended in batches and synced; a torn last line is cut when the folder is read. Every file
that is read again holds its own checksum; the manifest holds the checksums of all files, so that a
lost file is noticed.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from zobench.errors import ConfigError
from zobench.files.atomic import disk_errors
from zobench.files.location import Location
from zobench.files.regular import require_no_link

SCHEMA = 5
"""Version of the layout and of the manifest's fields."""

MANIFEST = "manifest.json"
TRACE = "trace.jsonl"
TIMING = "timing.jsonl"
IMAGES = "images.json"
SETUP = "setup.safetensors"
SCORES = "scores.json"
SNAPSHOTS = "snapshots"
ANSWERS = "answers"
EDIT = "edit.npy"
EDIT_PICTURE = "edit.png"
IMAGES_PICTURE = "before-after.png"
CHECKPOINT = Path("checkpoint") / "state.safetensors"
LOCK = ".lock"
TRACEBACK = "traceback.txt"
"""The traceback of the last exception that zobench does not know."""
PROGRESS = "progress.json"
"""The progress of the run, written by the suite worker that carries it out."""


FOLDERS = (SNAPSHOTS, ANSWERS, CHECKPOINT.parent)
"""The folders in a run folder."""


def require_no_links(folder: str | os.PathLike[str]) -> None:
    """Raises if a folder in a run folder, or its lock, is a link that could lead a write elsewhere.

    Raises:
        StoreError: A folder or the lock is a link.
    """
    for name in (*FOLDERS, LOCK):
        require_no_link(Path(folder, name))


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a run folder, whatever the status of the run."""
    return Path(folder, MANIFEST).is_file()


def require_folder_of_runs(folder: Location) -> None:
    """Refuses a run folder where a folder of runs is meant: a run inside a run is not found again.

    Raises:
        ConfigError: The folder is a run folder.
        StoreError: It cannot be read.
    """
    with disk_errors(folder):
        inside = is_run(folder.path)
    if inside:
        raise ConfigError(
            f"{folder} holds a {MANIFEST}, so it is a run, and new runs go into a folder of runs; name "
            "another folder with --out"
        )


def run_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """The run folders directly below a folder, by name; or the folder itself if it is one."""
    path = Path(folder)
    if is_run(path):
        return [path]
    return sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))


def meant_below(folder: str | os.PathLike[str]) -> str:
    """Words for a message that name a folder of runs right below a folder; empty if there is none."""
    deeper = next(Path(folder).glob(f"*/*/{MANIFEST}"), None)
    return "" if deeper is None else f" (did you mean {shlex.quote(str(deeper.parent.parent))}?)"


def snapshot_name(queries: int) -> str:
    """The file of the edit recommended after ``queries``, relative to the run folder."""
    return f"{SNAPSHOTS}/{queries:012d}.safetensors"


def snapshot_queries(folder: str | os.PathLike[str]) -> list[int]:
    """Query counts of the snapshots of a run folder, increasing."""
    files = Path(folder, SNAPSHOTS).glob("*.safetensors")
    return sorted(int(path.stem) for path in files if re.fullmatch(r"\d{12}", path.stem))
