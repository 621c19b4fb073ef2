"""Every test of this folder has the tiny plugin, and so has every process that it starts."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _tiny_plugin(tiny_installed: None) -> None:
    """The tiny plugin is installed."""
