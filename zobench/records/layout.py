"""The names of the files of a run folder.

::

    runs/<run-id>/
      manifest.json        what ran, on what, and how it ended; ``status: done`` is written last
      trace.jsonl          a row a tell; the same bytes for the same run
      timing.jsonl         a row a tell; how long it took
      setup.safetensors    embeddings of the clean training images
      snapshots/           recommended edits, one file a query count
      scores.json          the result of scoring each edit
      bill.jsonl           requests to a rented encoder, if it is one
      answers/             answers of the oracle, if the run was recorded
      edit.npy, *.png      the last edit and its pictures
      checkpoint/          where to go on; replaced atomically, removed when done

Rows are appended in batches and synced; a torn last line is cut when the folder is read.
"""

from __future__ import annotations

import os
from pathlib import Path

SCHEMA = 2
"""Version of the layout and of the manifest's fields."""

MANIFEST = "manifest.json"
TRACE = "trace.jsonl"
TIMING = "timing.jsonl"
SETUP = "setup.safetensors"
SCORES = "scores.json"
SNAPSHOTS = "snapshots"
ANSWERS = "answers"
EDIT = "edit.npy"
EDIT_PICTURE = "edit.png"
IMAGES_PICTURE = "before-after.png"
CHECKPOINT = Path("checkpoint") / "state.safetensors"
LOCK = ".lock"
PROGRESS = "progress.json"
"""The position of the run, written by the worker of a suite that is at it."""


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Whether a run lies in a folder, in whatever state."""
    return Path(folder, MANIFEST).is_file()


def run_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """Run folders right below a folder, or the folder itself if it is one; in order of names."""
    path = Path(folder)
    if is_run(path):
        return [path]
    return sorted(each.parent for each in path.glob(f"*/{MANIFEST}"))


def snapshot_name(queries: int) -> str:
    """The file of the edit recommended after ``queries``, relative to the run folder."""
    return f"{SNAPSHOTS}/{queries:012d}.safetensors"


def snapshot_queries(folder: str | os.PathLike[str]) -> list[int]:
    """Query counts of the snapshots of a run folder, increasing."""
    return sorted(int(path.stem) for path in Path(folder, SNAPSHOTS).glob("*.safetensors"))
