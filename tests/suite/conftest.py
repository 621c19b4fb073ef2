"""Suites of runs that take a second, for this process and for those that it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
{more}
[split]
train = 120
test_per_cell = 40
"""


@pytest.fixture(scope="module", autouse=True)
def _tiny_plugin(tiny_installed: None) -> None:
    """All tests of suites run with it."""


@pytest.fixture
def suite_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite file."""

    def write(*optimizers: str, seeds: str = "2", more: str = "", name: str = "suite.toml") -> Path:
        path = tmp_path / name
        listed = ", ".join(optimizers or ('"random"', '"gezo"'))
        path.write_text(FILE.format(optimizers=listed, seeds=seeds, more=more))
        return path

    return write
