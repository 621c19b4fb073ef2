"""Runtimes against COCO's own functions, on the same data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from foreign import coco_statistics
from hypothesis import given
from hypothesis import strategies as st

from zobench.statistics import (
    data_profile,
    ecdf,
    expected_queries,
    expected_queries_interval,
    first_success,
    simulated_runtimes,
    success_rate,
)

runs = st.lists(st.tuples(st.integers(1, 500), st.booleans()), min_size=1, max_size=12)


def test_the_first_snapshot_that_reaches_the_target_counts() -> None:
    assert first_success([10, 100, 1000], [0.1, 0.3, 0.2], 0.3) == 100
    assert first_success([10, 100, 1000], [0.1, 0.3, 0.2], 0.31) is None
    assert first_success([], [], 0.0) is None
    exact = (40.0 - 20.0) / 40.0 - 1e-16 * 4  # as sums of percentages give it
    assert exact < 0.5
    assert first_success([10, 20], [exact, 1.0], 0.5) == 10


@given(runs)
def test_ert_and_success_rate_are_cocos(drawn: list[tuple[int, bool]]) -> None:
    successes = [count if good else None for count, good in drawn]
    spent = [500 if good else count for count, good in drawn]
    theirs = coco_statistics().sp(
        [float(count) for count, _ in drawn], issuccessful=[good for _, good in drawn]
    )
    assert expected_queries(successes, spent) == theirs[0]
    assert success_rate(successes) == theirs[1]


def test_simulated_restarts_have_cocos_distribution_and_its_mean_is_ert() -> None:
    successes, spent = [100, 250, None, None, 40], [1000, 1000, 900, 1100, 1000]
    size = 40_000
    ours = np.sort(simulated_runtimes(successes, spent, size, np.random.default_rng(0)))
    state = np.random.RandomState(1)
    theirs = np.sort(
        coco_statistics().simulated_evals(
            np.array([100.0, 250, 40, 900, 1100]), 2, size, state.randint, state.randint
        )
    )
    grid = np.geomspace(30, 20_000, 200)
    assert abs(ecdf(ours, grid) - ecdf(theirs, grid)).max() < 0.015  # 6 standard errors of a share
    assert ours.mean() == pytest.approx(expected_queries(successes, spent), rel=0.03)


def test_without_a_success_every_simulated_runtime_is_infinite() -> None:
    drawn = simulated_runtimes([None, None], [10, 20], 5, np.random.default_rng(0))
    assert np.isinf(drawn).all()
    assert ecdf(drawn, np.array([1e9]))[0] == 0.0


def test_restarts_without_failures_are_the_runs_themselves() -> None:
    drawn = simulated_runtimes([3, 5], [9, 9], 1000, np.random.default_rng(0))
    assert set(drawn) == {3.0, 5.0}


def test_ecdf_and_data_profile_count_what_is_at_most_the_grid() -> None:
    grid = np.array([0.0, 1, 2, 3, 100])
    assert ecdf(np.array([1.0, 2, 2, np.inf]), grid).tolist() == [0, 0.25, 0.75, 0.75, 0.75]
    assert data_profile([1, 3, None, 3], grid).tolist() == [0, 0.25, 0.25, 0.75, 0.75]
    assert data_profile([], grid).tolist() == [0] * 5


@given(runs)
def test_more_spending_of_failures_never_lowers_ert(drawn: list[tuple[int, bool]]) -> None:
    successes = [count if good else None for count, good in drawn]
    little = expected_queries(successes, [500] * len(drawn))
    assert expected_queries(successes, [501] * len(drawn)) >= little


def test_the_interval_of_ert_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    chance, lucky, unlucky = 0.7, 200, 1000
    truth = lucky + (1 - chance) / chance * unlucky
    held = 0
    for _ in range(300):
        good = rng.random(30) < chance
        successes = [lucky if each else None for each in good]
        low, high = expected_queries_interval(successes, [unlucky] * 30, rng, 400)
        held += low <= truth <= high
    assert 0.90 <= held / 300 <= 0.99


def test_the_interval_of_ert_without_success_is_infinite() -> None:
    ends = expected_queries_interval([None], [0], np.random.default_rng(0))  # failed at the start
    assert ends == (math.inf, math.inf)
    ends = expected_queries_interval([None], [5], np.random.default_rng(0))
    assert ends == (math.inf, math.inf)
    low, high = expected_queries_interval([7, None], [9, 9], np.random.default_rng(0))
    assert low == 7
    assert math.isinf(high)


def test_of_no_runs_nothing_is_expected() -> None:
    assert expected_queries([], []) == np.inf
    assert success_rate([]) == 0
    assert np.isinf(simulated_runtimes([], [], 5, np.random.default_rng(0))).all()
