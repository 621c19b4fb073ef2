"""Runs that were carried out elsewhere, beside the same ones that were carried out here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zobench.files import files
from zobench.records import run_folder as store


def same_runs(one: Path, other: Path) -> list[str]:
    """Names of the runs of two folders, which must be the same to the last bit."""
    names = [folder.name for folder in store.run_folders(one)]
    assert names == [folder.name for folder in store.run_folders(other)]
    for name in names:
        here, there = one / name, other / name
        for path in (store.TRACE, "edit.npy", *_snapshots(here)):
            assert (here / path).read_bytes() == (there / path).read_bytes(), (name, path)
        for path, keys in (
            (store.SCORES, ("edits", "test", "counts")),
            (store.MANIFEST, ("run_id", "status", "ledger", "headline", "config")),
        ):
            found, expected = files.read_json(there / path), files.read_json(here / path)
            assert [found[key] for key in keys] == [expected[key] for key in keys], (name, path)
        assert not (there / "checkpoint").exists()
    return names


def _snapshots(folder: Path) -> Sequence[str]:
    found = sorted((folder / store.SNAPSHOTS).iterdir())
    return [f"{store.SNAPSHOTS}/{each.name}" for each in found]
