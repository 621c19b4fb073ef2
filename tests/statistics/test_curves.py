"""Curves and their area, against IOHprofiler's inspector."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zobench.statistics import aocc, band, staircase

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import polars as pl
    from iohinspector.metrics.aocc import get_aocc

BUDGET = 1000
curve = st.lists(
    st.tuples(st.integers(1, BUDGET), st.floats(0, 1)),
    min_size=1,
    max_size=8,
    unique_by=lambda p: p[0],
).map(sorted)


@given(st.lists(curve, min_size=1, max_size=4))
def test_aocc_is_iohinspectors(curves: list[list[tuple[int, float]]]) -> None:
    best = [list(np.maximum.accumulate([value for _, value in each])) for each in curves]
    rows = [
        {"data_id": number, "evaluations": at, "eaf": value, "name": "x"}
        for number, (each, values) in enumerate(zip(curves, best, strict=True))
        for (at, _), value in zip(each, values, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = get_aocc(pl.DataFrame(rows), BUDGET, free_vars=["name"], return_as_pandas=False)
    ours = [
        aocc([at for at, _ in each], values, BUDGET)
        for each, values in zip(curves, best, strict=True)
    ]
    assert np.mean(ours) == pytest.approx(theirs["AOCC"][0], abs=1e-12)


def test_what_comes_after_the_budget_does_not_count() -> None:
    assert aocc([1, 2000], [0.5, 1.0], BUDGET) == 0.5
    assert aocc([2000], [1.0], BUDGET) == 0.0


def test_a_staircase_holds_its_step_begins_at_nought_and_ends_where_the_run_did() -> None:
    grid = np.array([5, 10, 99, 100, 400, 401])
    found = staircase([10, 100], np.array([[0.2, 2], [0.5, 5]]), grid, spent=400)
    assert found[:, 0].tolist()[:5] == [0, 0.2, 0.2, 0.5, 0.5]
    assert np.isnan(found[5]).all()
    assert found[4].tolist() == [0.5, 5]


def test_a_band_holds_its_mean_and_is_wider_where_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    grid = 30
    noise = 0.01 * rng.standard_normal((5, 201, grid))
    spread = np.linspace(0, 0.5, grid) * rng.standard_normal((5, 1, 1))
    mean, low, high = band(list(noise + spread))
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert (high - low)[-1] > 5 * (high - low)[0]


def test_no_mean_where_a_run_had_ended() -> None:
    one, other = np.zeros((3, 4)), np.zeros((3, 4))
    other[:, 2:] = np.nan
    mean, low, _ = band([one, other])
    assert np.isnan(mean).tolist() == np.isnan(low).tolist() == [False, False, True, True]
