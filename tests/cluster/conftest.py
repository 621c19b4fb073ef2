"""Suites of short runs for engines that carry them out elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from zobench import files, store

FILE = """
optimizers = [{optimizers}]
encoders = ["tiny"]
datasets = ["tiny"]
diseases = ["spots"]
seeds = {seeds}

[run]
budget = 400
batch_size = 10
replicates = 50

[split]
train = 120
test_per_cell = 40
"""


@pytest.fixture(scope="module", autouse=True)
def _tiny_plugin(tiny_installed: None) -> None:
    """All tests of engines run with it."""


@pytest.fixture
def suite_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite file."""

    def write(*optimizers: str, seeds: int = 2) -> Path:
        path = tmp_path / "suite.toml"
        path.write_text(FILE.format(optimizers=", ".join(optimizers), seeds=seeds))
        return path

    return write


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
