"""The curve between scored snapshots, against numpy's interpolation and curves of known area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

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
    assert next_to_score(PLACES[:4], pairs(0.0, None, 0.1, None)) == 3
    assert next_to_score(PLACES[:4], pairs(0.0, 0.5, 0.1, 0.2)) is None


def pairs(*shares: float | None) -> list[tuple[float, float] | None]:
    return [None if share is None else (share, share) for share in shares]


def test_the_piece_with_the_largest_change_is_halved_or_the_widest_if_nothing_changes() -> None:
    places = np.arange(9.0)
    jump = pairs(0.0, None, None, None, 0.1, None, None, None, 0.9)
    assert next_to_score(places, jump) == 6
    flat = pairs(0.0, None, 0.0, None, None, None, None, None, 0.0)
    assert next_to_score(places, flat) == 5


def test_a_change_with_or_without_the_tolerance_is_a_change() -> None:
    places = np.arange(7.0)
    first, middle, last = (0.0, 0.0), (0.5, 0.5), (0.0, 0.5)
    assert next_to_score(places, [first, middle, None, None, middle, None, last]) == 5
    assert next_to_score(places, [first, None, middle, None, None, None, last]) == 4


def test_values_between_scored_snapshots_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    places, given = np.sort(rng.uniform(0, 9, 12)), [0, 3, 4, 9, 11]
    values = {number: rng.uniform(0, 100, 5) for number in given}
    lines = interpolated(places, [values.get(number) for number in range(12)])
    for column in range(5):
        by_numpy = np.interp(places, places[given], [values[each][column] for each in given])
        np.testing.assert_allclose(lines[:, column], by_numpy, rtol=1e-12)


def test_scored_snapshots_keep_their_values_and_equal_ends_give_the_same_to_the_last_bit() -> None:
    row = np.random.default_rng(1).uniform(0, 100, 50)
    assert (interpolated(PLACES[:7], [row, None, None, row, None, None, row]) == row).all()
    rows = list(np.random.default_rng(2).uniform(0, 100, (4, 50)))
    assert (interpolated(PLACES[:4], rows) == np.stack(rows)).all()


def slow(q: Floats, at: float) -> Floats:
    return np.asarray(0.8 * (q / BUDGET) ** (0.3 + at))


def fast(q: Floats, at: float) -> Floats:
    return np.asarray(0.6 * q / (q + FIRST * 10**at))


def jump(q: Floats, at: float) -> Floats:
    return np.where(q > FIRST * (BUDGET / FIRST) ** at, 0.7, 0.0)


def rise_and_fall(q: Floats, at: float) -> Floats:
    peak = FIRST * (BUDGET / FIRST) ** at
    return np.asarray(0.8 * np.exp(-((np.log(q / peak) / 0.9) ** 2)))


@pytest.mark.parametrize(
    ("shape", "share"), [(slow, 0.2), (fast, 0.2), (jump, 0.25), (rise_and_fall, 0.6)]
)
def test_five_chosen_snapshots_give_the_fairness_of_all_better_than_five_fixed_ones(
    shape: Callable[[Floats, float], Floats], share: float
) -> None:
    chosen, fixed = zip(*(errors(shape, at) for at in np.linspace(0.02, 0.98, 40)), strict=True)
    assert np.sqrt(np.mean(np.square(chosen))) < share * np.sqrt(np.mean(np.square(fixed)))


def errors(shape: Callable[[Floats, float], Floats], at: float) -> tuple[float, float]:
    """Error of FPQ from five chosen snapshots and from five log-spaced ones."""
    truth = np.array([0.0, *shape(np.array(QUERIES, dtype=float), at)])
    shares = pairs(0.0, *([None] * 25))
    for _ in range(5):
        number = next_to_score(PLACES, shares)
        assert number is not None
        shares[number] = (float(truth[number]), float(truth[number]))
    scored = [number for number, pair in enumerate(shares) if pair is not None]
    line = np.interp(PLACES, PLACES[scored], truth[scored])
    five = snapshot_schedule(FIRST, BUDGET, 5)
    exact = area(QUERIES, truth[1:])
    return area(QUERIES, line[1:]) - exact, area(five, shape(np.array(five, float), at)) - exact


def area(queries: list[int], values: Floats) -> float:
    return float(fairness_per_query(queries, values[:, None], FIRST, BUDGET)[0])
