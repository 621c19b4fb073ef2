"""Every metric that test images give passes the conformance suite of metrics."""

from __future__ import annotations

import numpy as np
import pytest

from zobench.contracts.metric import GroupCounts
from zobench.registry.discovery import load_registry
from zobench.testing import MetricConformance
from zobench.testing.checking import requirements

NAMES = sorted(load_registry().offers["metrics"])


@pytest.mark.parametrize("requirement", requirements(MetricConformance))
@pytest.mark.parametrize("name", NAMES)
def test_each_meets(name: str, requirement: str) -> None:
    getattr(type("Suite", (MetricConformance,), {"name": name})(), requirement)()


def test_the_worst_group_of_the_resamples_is_the_one_of_the_data() -> None:
    """The worst of each resample would be lower than the truth where the groups are alike."""
    rng = np.random.default_rng(0)
    images = np.full((2001, 2, 2), 200.0)
    called = rng.binomial(200, [[[0.25, 0.25], [0.75, 0.75]]], size=(2001, 2, 2)).astype(float)
    called[0] = [[50, 50], [150, 149]]  # the worst by one image
    metric = next(each for each in load_registry().metrics if each.name == "worst_group")
    assert metric.from_counts is not None
    values = metric.from_counts(GroupCounts(images, called))
    np.testing.assert_allclose(values, 100.0 * called[:, 1, 1] / 200)
    assert abs(values[1:].mean() - 75.0) < 0.5
