"""The curve between scored snapshots, against numpy's interpolation and curves of known area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from zobench.contracts.metric import GroupCounts
from zobench.measures.curve import interpolated, next_to_score, positions
from zobench.measures.recovery import fairness_per_query
from zobench.runs.loop import snapshot_schedule

Floats = NDArray[np.float64]

FIRST, BUDGET = 64, 12_800
QUERIES = snapshot_schedule(FIRST, BUDGET, 25)
PLACES = positions([0, *QUERIES], FIRST)


def test_positions_are_logarithms_that_begin_with_erm() -> None:
    found = positions([0, 64, 6_400], 64)
    assert found.tolist() == pytest.approx(np.log([64, 128, 6_464]).tolist())


def test_the_last_is_scored_first_and_nothing_after_all() -> None:
    assert next_to_score(PLACES[:4], [0.0, None, 0.1, None]) == 3
    assert next_to_score(PLACES[:4], [0.0, 0.5, 0.1, 0.2]) is None


def test_the_piece_with_the_largest_change_is_halved_or_the_widest_if_nothing_changes() -> None:
    places = np.arange(9.0)
    jump = [0.0, None, None, None, 0.1, None, None, None, 0.9]
    assert next_to_score(places, jump) == 6
    flat = [0.0, None, 0.0, None, None, None, None, None, 0.0]
    assert next_to_score(places, flat) == 5


def test_rates_between_scored_snapshots_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    places, known = np.sort(rng.uniform(0, 9, 12)), [0, 3, 4, 9, 11]
    images = rng.integers(20, 30, (5, 2, 2)).astype(float)
    called = {each: images * rng.uniform(size=(5, 2, 2)) for each in known}
    given = [GroupCounts(images, called[k]) if k in called else None for k in range(12)]
    found = np.stack([each.rate for each in interpolated(places, given)])
    rates = np.stack([called[k] / images for k in known])
    for at in np.ndindex(5, 2, 2):
        by_numpy = np.interp(places, places[known], rates[(slice(None), *at)])
        np.testing.assert_allclose(found[(slice(None), *at)], by_numpy, rtol=1e-12)


def test_scored_snapshots_keep_their_counts() -> None:
    counts = [GroupCounts(np.ones((1, 2, 2)), np.full((1, 2, 2), k / 3)) for k in range(4)]
    assert interpolated(PLACES[:4], counts) == counts


def slow(q: Floats, at: float) -> Floats:
    return np.asarray(0.8 * (q / BUDGET) ** (0.3 + at))


def fast(q: Floats, at: float) -> Floats:
    return np.asarray(0.6 * q / (q + FIRST * 10**at))


def jump(q: Floats, at: float) -> Floats:
    return np.where(q > FIRST * (BUDGET / FIRST) ** at, 0.7, 0.0)


def rise_and_fall(q: Floats, at: float) -> Floats:
    peak = FIRST * (BUDGET / FIRST) ** at
    return np.asarray(0.8 * np.exp(-((np.log(q / peak) / 0.9) ** 2)))


@pytest.mark.parametrize("shape", [slow, fast, jump, rise_and_fall])
def test_five_chosen_snapshots_give_the_fairness_of_all_better_than_five_fixed_ones(
    shape: Callable[[Floats, float], Floats],
) -> None:
    chosen, fixed = zip(*(errors(shape, at) for at in np.linspace(0.02, 0.98, 40)), strict=True)
    assert np.sqrt(np.mean(np.square(chosen))) < 0.7 * np.sqrt(np.mean(np.square(fixed)))


def errors(shape: Callable[[Floats, float], Floats], at: float) -> tuple[float, float]:
    """Error of FPQ from five chosen snapshots and from five log-spaced ones."""
    truth = np.array([0.0, *shape(np.array(QUERIES, dtype=float), at)])
    known: list[float | None] = [0.0, *([None] * 25)]
    for _ in range(5):
        number = next_to_score(PLACES, known)
        assert number is not None
        known[number] = float(truth[number])
    scored = [number for number, each in enumerate(known) if each is not None]
    line = np.interp(PLACES, PLACES[scored], truth[scored])
    five = snapshot_schedule(FIRST, BUDGET, 5)
    exact = area(QUERIES, truth[1:])
    return area(QUERIES, line[1:]) - exact, area(five, shape(np.array(five, float), at)) - exact


def area(queries: list[int], values: Floats) -> float:
    return float(fairness_per_query(queries, values[:, None], FIRST, BUDGET)[0])
