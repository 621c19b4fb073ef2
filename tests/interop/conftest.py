"""Foreign servers, each in a new virtual environment that is made on first use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from foreign_servers import HERE, Begin, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("ZOBENCH_INTEROP"):
        skip = pytest.mark.skip(reason="installs foreign servers; set ZOBENCH_INTEROP=1 to run it")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts servers that are stopped after the tests of a module."""
    with ExitStack() as stack:

        def start(command: list[str], url: str, **options: object) -> str:
            log = tmp_path_factory.mktemp("log") / "server.log"
            return stack.enter_context(running(command, url, log, **options))

        yield start
