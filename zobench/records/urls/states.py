"""The states of a run at a URL: a done run, or checkpoints where processes stopped.

Each upload writes one state to a new folder below the run's folder, so machines that publish the
same run at once never write to the same files. The name of the folder says whether the run is done;
if it is not, the name also holds the number of scored edits and queries.

The manifest of a state is uploaded last, under another name, and then renamed. A folder without a
manifest is ignored, so an incomplete upload is never read. A run folder that a user copied to the
URL is also read as a state.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zobench.errors import DamagedError
from zobench.files.atomic import DRAFT, disk_errors
from zobench.files.json_files import parsed_json
from zobench.records import layout, standing

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

END, UNFINISHED = "done-", "unfinished-"
"""Name prefixes of the folders of states."""


@dataclass(frozen=True)
class State:
    """One state of a run at a URL.

    Attributes:
        system: The filesystem of the URL.
        root: The folder of the state.
        files: Files of the state by relative name, with the file details of each.
    """

    system: AbstractFileSystem
    root: str
    files: Mapping[str, Any]

    @property
    def mark(self) -> str:
        """A digest of the folder's path and the file details of the manifest."""
        text = json.dumps(dict(self.files[layout.MANIFEST]), sort_keys=True, default=str)
        return hashlib.blake2b(f"{self.root} {text}".encode(), digest_size=16).hexdigest()

    @cached_property
    def rank(self) -> standing.Rank:
        """The rank of the run, from the folder's name, or from the manifest of a copied run folder.

        A run folder that a user copied to the URL has rank (False, 0, 0) if it is not done.
        """
        name = self.root.rpartition("/")[2]
        if match := re.fullmatch(rf"{UNFINISHED}(\d+)-(\d+)-\w+", name):
            return False, int(match[1]), int(match[2])
        return name.startswith(END) or self._says_done(), 0, 0

    def _says_done(self) -> bool:
        place = f"{self.root}/{layout.MANIFEST}"
        try:
            manifest = parsed_json(place, self.system.cat_file(place))
        except DamagedError:
            return False
        return manifest.get("status") == "done"

    def download(self, folder: Path, *, left: tuple[str, ...]) -> None:
        """Downloads the state into a new local folder.

        Args:
            folder: The folder; it does not exist yet.
            left: Names of files that are not downloaded.
        """
        names = [
            name
            for name in self.files
            if not name.endswith(DRAFT) and name.rpartition("/")[2] not in left
        ]
        targets = [folder / name for name in names]
        with disk_errors(folder):
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
        self.system.get([f"{self.root}/{name}" for name in names], [*map(str, targets)])


def furthest(system: AbstractFileSystem, root: str, names: Mapping[str, Any]) -> State | None:
    """The state of a run with the highest rank; equal ranks always give the same state.

    Args:
        system: The filesystem of the URL.
        root: The run's folder at the URL.
        names: Files in that folder by relative name, with the file details of each.
    """
    states = []
    if layout.MANIFEST in names:
        plain = {name: note for name, note in names.items() if not _folder(name)}
        states.append(State(system, root, plain))
    for folder in _whole(names):
        start = f"{folder}/"
        inside = {
            name.removeprefix(start): note for name, note in names.items() if name.startswith(start)
        }
        states.append(State(system, f"{root}/{folder}", inside))
    if len(states) < 2:
        return next(iter(states), None)
    return max(states, key=lambda state: state.rank)


def upload(
    system: AbstractFileSystem,
    root: str,
    names: Mapping[str, Any],
    folder: Path,
    *,
    left: tuple[str, ...],
) -> str:
    """Uploads a state of a run, then removes the older states of the run.

    A done state also removes incomplete uploads.

    Args:
        system: The filesystem of the URL.
        root: The run's folder at the URL.
        names: Files in that folder before the upload; no state among them has a higher rank.
        folder: The local run folder.
        left: Names of files that are not uploaded.

    Returns:
        The folder of the new state.
    """
    done, scored, queries = standing.rank(folder)
    token = secrets.token_hex(4)
    target = f"{root}/{END}{token}" if done else f"{root}/{UNFINISHED}{scored}-{queries}-{token}"
    mine = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left and path.suffix != DRAFT
    ]
    mine.remove(layout.MANIFEST)
    system.put([str(folder / name) for name in mine], [f"{target}/{name}" for name in mine])
    draft = f"{target}/{layout.MANIFEST}{DRAFT}"
    system.put_file(str(folder / layout.MANIFEST), draft)
    system.mv(draft, f"{target}/{layout.MANIFEST}")
    whole = _whole(names)
    torn = {_folder(name) for name in names} - {"", *whole} if done else set()
    for state in (*whole, *sorted(torn)):
        with suppress(OSError):  # another process may write or remove it; leftovers do no harm
            if state in whole:
                system.rm(f"{root}/{state}/{layout.MANIFEST}")
            system.rm(f"{root}/{state}", recursive=True)
    return target


def _whole(names: Mapping[str, Any]) -> list[str]:
    """Folders of states whose upload is complete."""
    return sorted(
        folder
        for name in names
        if (folder := _folder(name)) and name == f"{folder}/{layout.MANIFEST}"
    )


def _folder(name: str) -> str:
    """The folder of the state that holds a file; empty for files of a copied run folder."""
    folder = name.partition("/")[0]
    return folder if folder.startswith((END, UNFINISHED)) else ""
