"""Agreement of tasks against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from zobench.statistics import agreement


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_equal_opposite_and_tied_orders() -> None:
    one = np.array([[0.1, 0.2], [0.3, 0.5], [0.6, 0.9]])
    same = agreement(one, 2 * one, rng())
    assert (same.tau, same.low, same.high) == (1.0, 1.0, 1.0)
    assert agreement(one, -one, rng()).tau == -1.0
    assert math.isnan(agreement(one, np.zeros((3, 2)), rng()).tau)


def test_ties_count_as_in_kendalls_tau_b() -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        one, two = (generator.integers(0, 4, (7, 1)).astype(float) for _ in range(2))
        wanted = kendalltau(one, two).statistic
        assert agreement(one, two, rng()).tau == pytest.approx(wanted, nan_ok=True)


def test_tau_is_that_of_the_means_and_the_interval_is_made_of_resampled_seeds() -> None:
    generator = np.random.default_rng(1)
    one, two = generator.normal(size=(5, 3)), generator.normal(size=(5, 3))
    found = agreement(one, two, rng())
    assert found.tau == pytest.approx(kendalltau(one.mean(1), two.mean(1)).statistic)
    all_taus = {
        round(float(kendalltau(one[:, rows].mean(1), two[:, rows].mean(1)).statistic), 9)
        for rows in ([a, b, c] for a in range(3) for b in range(3) for c in range(3))
    }
    assert {round(found.low, 9), round(found.high, 9)} <= all_taus
    assert found.low <= found.high


def test_one_seed_has_no_interval() -> None:
    alone = agreement(np.array([[0.1], [0.3]]), np.array([[1.0], [2.0]]), rng())
    assert alone.tau == 1.0
    assert math.isnan(alone.low)


@pytest.mark.parametrize("shape", [(2, 2), (3, 1)])
def test_other_methods_or_seeds_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="the same methods and seeds"):
        agreement(np.zeros((3, 2)), np.zeros(shape), rng())
