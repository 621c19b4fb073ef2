"""A finished run on pictures of one's own, for the tests of a module."""

from __future__ import annotations

import pytest
from own_pictures import pictures
from tiny import SETTINGS, run

from zobench.records.stored_run import StoredRun


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run on pictures of one's own."""
    root = pictures(tmp_path_factory.mktemp("own"))
    sizes = {"split": {"train": 80, "test_per_cell": 20}}
    more = {**SETTINGS, "dataset": "table", "disease": "melanoma", "data_root": root}
    return run(root / "runs", optimizer="random", overrides=sizes, **more)
