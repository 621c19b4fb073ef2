"""States of a run at a URL: its end, or those in which it was left.

The end lies in the run's folder as a run on a disk does. A state that is not the end lies in a folder of
its own below, so that whoever stops late, and was thought dead, cannot spoil what others have finished.
A state's manifest is uploaded last: one whose upload was torn is not seen.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import files, store
from .filesystems import listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

UNFINISHED = "unfinished-"
"""Begins the names of folders, within that of a run at a URL, with states that are not its end."""

Progress = tuple[bool, int, int]
"""How far a run is: whether it is done, images that were asked for to score, and to optimize."""


@dataclass(frozen=True)
class State:
    """One state of a run at a URL.

    Attributes:
        system: Where it lies.
        root: Its folder there.
        files: Names in it, with what the filesystem says of each.
        done: Whether it is the run's end.
    """

    system: AbstractFileSystem
    root: str
    files: Mapping[str, Any]
    done: bool

    @property
    def mark(self) -> str:
        """Changes whenever the manifest does, as far as the filesystem tells without reading it."""
        text = json.dumps(dict(self.files[store.MANIFEST]), sort_keys=True, default=str)
        return hashlib.blake2b(f"{self.root} {text}".encode(), digest_size=16).hexdigest()

    @cached_property
    def progress(self) -> Progress:
        """How far it is; reads its manifest."""
        return progress(json.loads(self.system.cat_file(f"{self.root}/{store.MANIFEST}")))

    def download(self, folder: Path) -> None:
        """Puts it in place of what is in a local folder."""
        shutil.rmtree(folder, ignore_errors=True)
        with files.disk_errors(folder):
            for group in _manifest_last(list(self.files)):
                targets = [folder / name for name in group]
                for target in targets:
                    target.parent.mkdir(parents=True, exist_ok=True)
                self.system.get([f"{self.root}/{name}" for name in group], [*map(str, targets)])


def progress(manifest: Mapping[str, Any]) -> Progress:
    """How far the run of a manifest is."""
    ledger = manifest["ledger"]
    asked = [int(ledger[purpose]["queries"]) for purpose in ("score", "optimize")]
    return manifest["status"] == "done", asked[0], asked[1]


def furthest(system: AbstractFileSystem, root: str, names: Mapping[str, Any]) -> State | None:
    """The furthest state of a run.

    Args:
        system: Where the run lies.
        root: Its folder there.
        names: Files in that folder, with what the filesystem says of each.
    """
    if store.MANIFEST in names:
        end = {name: note for name, note in names.items() if not name.startswith(UNFINISHED)}
        return State(system, root, end, done=True)
    whole = [
        State(system, f"{root}/{folder}", _below(folder, names), done=False)
        for folder in _folders(names, whole=True)
    ]
    if len(whole) < 2:
        return next(iter(whole), None)
    return max(whole, key=lambda state: state.progress)


def upload(system: AbstractFileSystem, root: str, folder: Path, *, left: tuple[str, ...]) -> State:
    """Adds a state to a run, and removes those that it makes superfluous.

    Args:
        system: Where the run lies.
        root: Its folder there.
        folder: What to upload.
        left: Names of files that stay here.
    """
    done = store.is_done(folder)
    target = root if done else f"{root}/{UNFINISHED}{secrets.token_hex(4)}"
    names = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left and path.suffix != ".part"
    ]
    before = listed(system, root)
    for group in _manifest_last(names):
        system.put([str(folder / name) for name in group], [f"{target}/{name}" for name in group])
    for state in _folders(before, whole=not done):
        with suppress(FileNotFoundError):  # another removes it, too
            if f"{state}/{store.MANIFEST}" in before:
                system.rm(f"{root}/{state}/{store.MANIFEST}")
            system.rm(f"{root}/{state}", recursive=True)
    return State(system, target, listed(system, target), done)


def _folders(names: Mapping[str, Any], *, whole: bool) -> list[str]:
    """Folders of states that are not the end; only those with a manifest if ``whole``."""
    found = {name.partition("/")[0] for name in names if name.startswith(UNFINISHED)}
    return sorted(each for each in found if not whole or f"{each}/{store.MANIFEST}" in names)


def _below(folder: str, names: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{folder}/"
    return {
        name.removeprefix(start): note for name, note in names.items() if name.startswith(start)
    }


def _manifest_last(names: list[str]) -> tuple[list[str], list[str]]:
    """Names in two groups."""
    return [name for name in names if name != store.MANIFEST], [store.MANIFEST]
