"""Every metric that test images give passes the conformance suite of metrics."""

from __future__ import annotations

import pytest

from zobench.registry.discovery import load_registry
from zobench.testing import MetricConformance
from zobench.testing.checking import requirements

NAMES = sorted(load_registry().offers["metrics"])


@pytest.mark.parametrize("requirement", requirements(MetricConformance))
@pytest.mark.parametrize("name", NAMES)
def test_each_meets(name: str, requirement: str) -> None:
    getattr(type("Suite", (MetricConformance,), {"name": name})(), requirement)()
