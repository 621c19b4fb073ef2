"""Every method that runs no optimizer passes the conformance suite of methods."""

from __future__ import annotations

import pytest

from zobench.errors import ConfigError
from zobench.registry.discovery import load_registry
from zobench.testing import MethodConformance
from zobench.testing.checking import requirements

OFFERS = load_registry().offers["methods"]
NAMES = sorted(name for name, offer in OFFERS.items() if offer.plugin.argument != "optimizer")


def test_only_dne_is_left_to_the_suite_of_optimizers() -> None:
    assert set(OFFERS) - set(NAMES) == {"dne"}


def test_a_parameter_that_is_checked_reaches_the_method() -> None:
    suite = type("Suite", (MethodConformance,), {"name": "group-dro", "overrides": {"steps": -1}})
    with pytest.raises(ConfigError, match="steps"):
        suite().test_gives_one_finite_score_a_test_image()


@pytest.mark.parametrize("requirement", requirements(MethodConformance))
@pytest.mark.parametrize("name", NAMES)
def test_each_meets(name: str, requirement: str) -> None:
    getattr(type("Suite", (MethodConformance,), {"name": name})(), requirement)()
