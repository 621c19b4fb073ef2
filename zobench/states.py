"""States of a run at a URL: its end, or those in which it was left.

The end lies in the run's folder as a run on a disk does. A state that is not the end lies in a folder of
its own below, whose name tells how far it is; so whoever stops late, and was thought dead, cannot spoil
what others have finished. A state counts once its manifest is there, which is uploaded last,
under another name, and then renamed: one whose upload was torn is not seen.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import files, store
from .filesystems import listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

UNFINISHED = "unfinished-"
"""Begins the names of folders, within that of a run at a URL, with states that are not its end."""

DRAFT = ".part"
"""Ends the names of files that are being written."""

END: store.Rank = (True, 0, 0)


@dataclass(frozen=True)
class State:
    """One state of a run at a URL.

    Attributes:
        system: Where it lies.
        root: Its folder there.
        files: Names in it, with what the filesystem says of each.
        rank: How far it is.
    """

    system: AbstractFileSystem
    root: str
    files: Mapping[str, Any]
    rank: store.Rank

    @property
    def mark(self) -> str:
        """Changes whenever the manifest does, as far as the filesystem tells without reading it."""
        text = json.dumps(dict(self.files[store.MANIFEST]), sort_keys=True, default=str)
        return hashlib.blake2b(f"{self.root} {text}".encode(), digest_size=16).hexdigest()

    def is_end(self) -> bool:
        """Whether it is the run's end; reads the manifest, for a folder may have been copied there."""
        if self.rank < END:
            return False
        try:
            manifest = json.loads(self.system.cat_file(f"{self.root}/{store.MANIFEST}"))
        except ValueError:
            return False
        return isinstance(manifest, dict) and manifest.get("status") == "done"

    def download(self, folder: Path) -> None:
        """Copies it into a local folder that is not there yet."""
        names = [name for name in self.files if not name.endswith(DRAFT)]
        targets = [folder / name for name in names]
        with files.disk_errors(folder):
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
        self.system.get([f"{self.root}/{name}" for name in names], [*map(str, targets)])


def furthest(system: AbstractFileSystem, root: str, names: Mapping[str, Any]) -> State | None:
    """The furthest state of a run.

    Args:
        system: Where the run lies.
        root: Its folder there.
        names: Files in that folder, with what the filesystem says of each.
    """
    if store.MANIFEST in names:
        end = {name: note for name, note in names.items() if not name.startswith(UNFINISHED)}
        return State(system, root, end, END)
    whole = _unfinished(names, whole=True)
    if not whole:
        return None
    folder = max(whole, key=_rank)
    start = f"{folder}/"
    inside = {
        name.removeprefix(start): note for name, note in names.items() if name.startswith(start)
    }
    return State(system, f"{root}/{folder}", inside, _rank(folder))


def upload(
    system: AbstractFileSystem,
    root: str,
    names: Mapping[str, Any],
    folder: Path,
    *,
    left: tuple[str, ...],
) -> State:
    """Adds a state to a run, and removes those that it makes superfluous.

    Args:
        system: Where the run lies.
        root: Its folder there.
        names: Files in that folder before, none of which is as far.
        folder: What to upload.
        left: Names of files that stay here.

    Returns:
        The state that was added; or the end, if another has added it meanwhile.
    """
    done, scored, queries = store.rank(folder)
    own = f"{UNFINISHED}{scored}-{queries}-{secrets.token_hex(4)}"
    target = root if done else f"{root}/{own}"
    mine = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left and path.suffix != DRAFT
    ]
    mine.remove(store.MANIFEST)
    system.put([str(folder / name) for name in mine], [f"{target}/{name}" for name in mine])
    if done:
        now = listed(system, root)
        if store.MANIFEST in now and store.MANIFEST not in names:
            return State(system, root, now, END)
        _remove_foreign(system, root, now, mine)
    draft = f"{target}/{store.MANIFEST}{DRAFT}"
    system.put_file(str(folder / store.MANIFEST), draft)
    system.mv(draft, f"{target}/{store.MANIFEST}")
    for state in _unfinished(names, whole=not done):
        with suppress(OSError):  # another removes it, or goes on with it; it does no harm
            if f"{state}/{store.MANIFEST}" in names:
                system.rm(f"{root}/{state}/{store.MANIFEST}")
            system.rm(f"{root}/{state}", recursive=True)
    return State(system, target, listed(system, target), END if done else _rank(own))


def _remove_foreign(
    system: AbstractFileSystem, root: str, names: Mapping[str, Any], mine: list[str]
) -> None:
    """What is left of an upload of the end that was torn."""
    foreign = [name for name in names if not name.startswith(UNFINISHED) and name not in mine]
    if foreign:
        system.rm([f"{root}/{name}" for name in foreign])


def _unfinished(names: Mapping[str, Any], *, whole: bool) -> list[str]:
    """Folders of states that are not the end; only those with a manifest if ``whole``."""
    found = {name.partition("/")[0] for name in names if name.startswith(UNFINISHED)}
    return sorted(each for each in found if not whole or f"{each}/{store.MANIFEST}" in names)


def _rank(folder: str) -> store.Rank:
    """How far a state is, by its folder's name."""
    found = re.fullmatch(rf"{UNFINISHED}(\d+)-(\d+)-\w+", folder)
    return (False, int(found[1]), int(found[2])) if found else store.NOWHERE
