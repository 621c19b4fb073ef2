"""The states of a run at a URL: its end, or the checkpoints at which processes left it.

Each state lies in a folder of its own below the run's, whose name tells how far it is, so that machines
that know nothing of each other, and one that stops late and was thought dead, cannot mix what they
publish. A state counts once its manifest is there, which is uploaded last, under another name, and then
renamed: one whose upload was torn is not seen. A run folder that somebody has copied to the URL as it is
on a disk counts as well.
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

from zobench.files.atomic import DRAFT, disk_errors
from zobench.records import layout, standing

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

END, UNFINISHED = "done-", "unfinished-"
"""Begin the names of folders with states."""


@dataclass(frozen=True)
class State:
    """One state of a run at a URL.

    Attributes:
        system: Where it lies.
        root: Its folder there.
        files: Names in it, with what the filesystem says of each.
    """

    system: AbstractFileSystem
    root: str
    files: Mapping[str, Any]

    @property
    def mark(self) -> str:
        """A digest that changes with the manifest, as far as the filesystem tells without reading it."""
        text = json.dumps(dict(self.files[layout.MANIFEST]), sort_keys=True, default=str)
        return hashlib.blake2b(f"{self.root} {text}".encode(), digest_size=16).hexdigest()

    @cached_property
    def rank(self) -> standing.Rank:
        """How far the run is, by its folder's name, or by its manifest if the name tells nothing."""
        name = self.root.rpartition("/")[2]
        if found := re.fullmatch(rf"{UNFINISHED}(\d+)-(\d+)-\w+", name):
            return False, int(found[1]), int(found[2])
        return name.startswith(END) or self._says_done(), 0, 0

    def _says_done(self) -> bool:
        try:
            manifest = json.loads(self.system.cat_file(f"{self.root}/{layout.MANIFEST}"))
        except ValueError:
            return False
        return isinstance(manifest, dict) and manifest.get("status") == "done"

    def download(self, folder: Path) -> None:
        """Copies it into a local folder that is not there yet."""
        names = [name for name in self.files if not name.endswith(DRAFT)]
        targets = [folder / name for name in names]
        with disk_errors(folder):
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
        self.system.get([f"{self.root}/{name}" for name in names], [*map(str, targets)])


def furthest(system: AbstractFileSystem, root: str, names: Mapping[str, Any]) -> State | None:
    """The furthest state of a run; of two ends always the same.

    Args:
        system: Where the run lies.
        root: Its folder there.
        names: Files in that folder, with what the filesystem says of each.
    """
    found = []
    if layout.MANIFEST in names:
        plain = {name: note for name, note in names.items() if not _folder(name)}
        found.append(State(system, root, plain))
    for folder in _whole(names):
        start = f"{folder}/"
        inside = {
            name.removeprefix(start): note for name, note in names.items() if name.startswith(start)
        }
        found.append(State(system, f"{root}/{folder}", inside))
    if len(found) < 2:
        return next(iter(found), None)
    return max(found, key=lambda state: state.rank)


def upload(
    system: AbstractFileSystem,
    root: str,
    names: Mapping[str, Any],
    folder: Path,
    *,
    left: tuple[str, ...],
) -> str:
    """Adds a state to a run, and removes those that it makes superfluous.

    Args:
        system: Where the run lies.
        root: Its folder there.
        names: Files in that folder before, none of which belongs to a further state.
        folder: What to upload.
        left: Names of files that stay here.

    Returns:
        The state's folder.
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
        with suppress(OSError):  # another removes it, or goes on with it; it does no harm
            if state in whole:
                system.rm(f"{root}/{state}/{layout.MANIFEST}")
            system.rm(f"{root}/{state}", recursive=True)
    return target


def _whole(names: Mapping[str, Any]) -> list[str]:
    """Folders of states whose upload has come to its end."""
    return sorted(
        folder
        for name in names
        if (folder := _folder(name)) and name == f"{folder}/{layout.MANIFEST}"
    )


def _folder(name: str) -> str:
    """The folder of the state that a file belongs to; empty if the run lies as on a disk."""
    folder = name.partition("/")[0]
    return folder if folder.startswith((END, UNFINISHED)) else ""
