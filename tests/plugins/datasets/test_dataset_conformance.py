"""Every dataset in the registry passes the conformance suite of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from zobench.registry.discovery import load_registry
from zobench.testing import DatasetConformance
from zobench.testing.checking import requirements

NAMES = sorted(load_registry().offers["datasets"])

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "phantom": {"disease": "edema", "overrides": {"patients": 24}},
    "nih": {"disease": "pneumonia", "root": "films_root"},
    "chexpert": {"disease": "pneumonia", "root": "chexpert_root"},
    "table": {
        "disease": "melanoma",
        "root": "table_root",
        "overrides": {"image": "file", "patient": "person", "sensitive": "gender"},
    },
}
"""An example of each dataset; its root is the name of a fixture. One without an example fails."""


def test_each_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(NAMES)


@pytest.mark.parametrize("requirement", requirements(DatasetConformance))
@pytest.mark.parametrize("name", NAMES)
def test_each_meets(name: str, requirement: str, request: pytest.FixtureRequest) -> None:
    example = dict(EXAMPLES[name])
    if "root" in example:
        example["root"] = request.getfixturevalue(example["root"])
    suite = type("Suite", (DatasetConformance,), {"name": name, **example})()
    getattr(suite, requirement)()
