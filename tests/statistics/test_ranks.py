"""Ranks against the worked example and the tables of Demsar 2006."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zobench.statistics import ranking

DEMSAR = np.array(
    [  # table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_demsars_example() -> None:
    found = ranking(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=0.001)
    assert found.critical_difference == pytest.approx(1.25, abs=0.01)
    assert 0.01 < found.friedman < 0.05  # chi-square 9.28 with 3 degrees of freedom
    assert set(found.cliques) == {(3, 1, 2, 0)}  # ranks differ by 1.18 < 1.25: not significant


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_critical_values_are_demsars_table(methods: int, q: float) -> None:
    rng = np.random.default_rng(0)
    found = ranking(rng.random((30, methods)))
    assert found.critical_difference == pytest.approx(
        q * math.sqrt(methods * (methods + 1) / (6 * 30)), abs=0.001
    )


def test_methods_far_apart_are_in_different_cliques() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((40, 4)) + np.array([0, 0, 5, 5])
    found = ranking(scores)
    assert {frozenset(each) for each in found.cliques} == {frozenset({2, 3}), frozenset({0, 1})}
    assert found.friedman < 1e-6


def test_ties_share_a_rank_and_missing_scores_are_refused() -> None:
    assert ranking(np.ones((3, 3))).ranks.tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="every method on every problem"):
        ranking(np.array([[1.0, np.nan]]))
