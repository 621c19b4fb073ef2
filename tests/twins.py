"""Compares runs that were carried out elsewhere with the same runs carried out here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zobench.files.json_files import read_json
from zobench.files.tensor_files import read_tensors
from zobench.records import layout
from zobench.records.stored_run import StoredRun


def same_runs(one: Path, other: Path) -> list[str]:
    """Asserts that two folders hold the same runs with equal results; returns their names."""
    names = [folder.name for folder in layout.run_folders(one)]
    assert names == [folder.name for folder in layout.run_folders(other)]
    for name in names:
        here, there = one / name, other / name
        for path in (layout.TRACE, "edit.npy", *_snapshots(here)):
            assert (here / path).read_bytes() == (there / path).read_bytes(), (name, path)
        for path, keys in (
            (layout.SCORES, ("edits", "test", "counts")),
            (layout.MANIFEST, ("run_id", "status", "ledger", "summary", "config")),
        ):
            found, expected = read_json(there / path), read_json(here / path)
            assert [found[key] for key in keys] == [expected[key] for key in keys], (name, path)
        states = [read_tensors(each / layout.CHECKPOINT)[1] for each in (here, there)]
        keys = ("asks", "counts", "optimizer")
        assert [states[0][key] for key in keys] == [states[1][key] for key in keys], name
        StoredRun(there).files.require_whole()
    return names


def _snapshots(folder: Path) -> Sequence[str]:
    found = sorted((folder / layout.SNAPSHOTS).iterdir())
    return [f"{layout.SNAPSHOTS}/{each.name}" for each in found]
