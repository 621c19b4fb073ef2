"""Every metric that test images give passes the conformance suite of metrics."""

from __future__ import annotations

import numpy as np
import pytest

from zobench.contracts.metric import GroupCounts
from zobench.measures.patient_bootstrap import ScoredImages, bootstrap_weights
from zobench.measures.resampling import Resamples
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


def test_odds_of_several_runs_have_absolute_gaps_in_their_resamples() -> None:
    """With the signs of the data they would vary around a value that is too high, and never below."""
    rng = np.random.default_rng(0)
    label, sensitive = np.arange(400) % 2, np.arange(400) // 2 % 2
    test = ScoredImages(np.arange(400), label, sensitive)
    scores = rng.normal(size=400) + 2.0 * label - 1.0
    alone = Resamples([scores], test, lambda: bootstrap_weights(test, 0, 200), 2.0)
    metrics = {each.name: each for each in load_registry().metrics}
    gaps = [abs(alone.of(metrics[name], 0)) for name in ("eo_n", "eo_p")]
    for name, wanted in (("eodds_average", np.mean(gaps, 0)), ("eodds_max", np.max(gaps, 0))):
        own, in_means = alone.of(metrics[name], 0), alone.for_means().of(metrics[name], 0)
        np.testing.assert_allclose(in_means, wanted)
        assert abs(own[0]) == pytest.approx(wanted[0])
        assert (abs(own) < wanted - 1e-9).any()  # a sign of the data that a resample lacks
        np.testing.assert_array_equal(alone.of(metrics[name], 0), own)
