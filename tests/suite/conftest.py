"""Suites of runs that take a second, for this process and for those that it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zobench.testing.projects import as_if_installed

TESTS = Path(__file__).parents[1]

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
def _tiny_plugin() -> Iterator[None]:
    """The plugin beside this file, as if it were installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [before])])
    with as_if_installed(TESTS / "suite" / "plugin"):
        yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def suite_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite file."""

    def write(*optimizers: str, seeds: str = "2", more: str = "", name: str = "suite.toml") -> Path:
        path = tmp_path / name
        listed = ", ".join(optimizers or ('"random"', '"gezo"'))
        path.write_text(FILE.format(optimizers=listed, seeds=seeds, more=more))
        return path

    return write
