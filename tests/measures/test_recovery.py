from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zobench.measures.recovery import fairness_per_query, recovery


def one(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


def test_recovery_is_the_share_of_the_gap_removed() -> None:
    assert recovery(*one(40, 10, 70, 70), tolerance=1.0)[0] == 0.75
    assert recovery(*one(40, 60, 70, 72), tolerance=1.0)[0] == -0.5


def test_an_edit_that_costs_more_accuracy_than_allowed_recovers_nothing() -> None:
    assert recovery(*one(40, 10, 70, 69), tolerance=1.0)[0] == 0.75
    assert recovery(*one(40, 10, 70, 68.9), tolerance=1.0)[0] == 0
    lost = one(40, 10, 100 * (486 / 800), 100 * (478 / 800))  # 1.000000000000007 in floats
    assert recovery(*lost, tolerance=1.0)[0] == 0.75
    assert recovery(*one(40, 60, 70, 60), tolerance=1.0)[0] == 0


def test_without_a_gap_there_is_nothing_to_recover() -> None:
    assert recovery(*one(0, 5, 70, 70), tolerance=1.0)[0] == 0


def test_everything_at_once_is_1_and_nothing_is_0() -> None:
    assert fairness_per_query([10], np.ones((1, 1)), 10, 1000)[0] == pytest.approx(1)
    assert fairness_per_query([10, 100], np.zeros((2, 1)), 10, 1000)[0] == 0
    assert fairness_per_query([], np.zeros((0, 1)), 10, 1000)[0] == 0


def test_a_staircase_worked_by_hand() -> None:
    """Of two decades, the recovery is 0 for half a decade, 0.5 for the next half, then 0.8."""
    queries = [round(10 * 10**0.5, 6), 100]
    found = fairness_per_query(queries, np.array([[0.5], [0.8]]), 10, 1000)
    assert found[0] == pytest.approx((0.5 * 0.5 + 1 * 0.8) / 2)


@given(
    st.lists(st.integers(64, 10_000), min_size=1, max_size=6, unique=True),
    st.floats(-1, 1),
)
def test_a_constant_recovery_counts_from_its_first_snapshot_on(queries: list, share: float) -> None:
    queries = sorted(queries)
    found = fairness_per_query(queries, np.full((len(queries), 1), share), 64, 10_000)[0]
    expected = share * np.log(10_000 / queries[0]) / np.log(10_000 / 64)
    assert found == pytest.approx(expected, abs=1e-12)
