"""The statistics of stored scores, against numbers computed by hand from a small test set."""

from __future__ import annotations

import numpy as np
import pytest
from scored_by_hand import (
    COSTLY,
    ERM,
    FAIR,
    HALF,
    LABEL,
    PLACEBO,
    SENSITIVE,
    TEST,
    results,
    scored,
)

from zobench.measures.edit_score import EditScore
from zobench.measures.interval import interval
from zobench.measures.patient_bootstrap import bootstrap_weights
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.records.curve_json import curve_rows
from zobench.registry.discovery import load_registry


def test_recovery_and_fairness_per_query_by_hand() -> None:
    found = results(HALF, FAIR)
    assert [each.recovery.value for each in found.scores] == pytest.approx([0.0, 0.5, 1.0])
    assert float(found.fpq[0]) == pytest.approx(0.25)  # half of the axis at 0.5
    assert found.queries == (100, 1000)


def test_an_edit_that_costs_too_much_has_a_recovery_of_nought_that_says_why() -> None:
    last = results(COSTLY).scores[-1]
    assert last.recovery.value == 0
    assert last.gap_recovery.value == pytest.approx(1.0)
    assert last.accuracy_change.value == pytest.approx(-10.0)
    assert last.why_zero == "accuracy fell by 10.0 points, more than the tolerance of 1"
    allowed = results(COSTLY, tolerance=10.0).scores[-1]
    assert (allowed.recovery.value, allowed.why_zero) == (pytest.approx(1.0), "")
    assert (
        results(scored(9, 1.0, 0.1, 0.5, 0.5, 0.9))
        .scores[-1]
        .why_zero.endswith("as large as ERM's")
    )
    assert results().scores[0].why_zero == "ERM is the reference"


def test_beyond_placebo_is_the_recovery_of_the_edit_minus_that_of_its_placebo_paired() -> None:
    found = results(HALF, FAIR, controls={"placebo": PLACEBO, "negative": COSTLY})
    beyond = found.beyond_placebo
    assert beyond is not None
    assert beyond.value == pytest.approx(1.0 - 0.2)
    assert np.array_equal(found.values(BEYOND_PLACEBO), found.beyond_placebo_values)
    weights = bootstrap_weights(TEST, found.config.seed, 300)
    for values, signed in ((found, True), (found.for_means, False)):
        by_hand = [
            by_weights(FAIR, row, signed=signed) - by_weights(PLACEBO, row, signed=signed)
            for row in weights
        ]
        np.testing.assert_allclose(values.values(BEYOND_PLACEBO), by_hand, atol=1e-12)
    assert beyond.low < beyond.value < beyond.high


def test_the_interval_of_a_run_whose_gap_is_gone_reaches_one_and_that_of_the_gap_reaches_nought() -> (
    None
):
    found = results(HALF, FAIR)
    (_, middle, last) = found.scores
    assert last.recovery.high == last.gap_recovery.high == 1.0
    assert middle.recovery.high < 1.0
    rows = curve_rows(found)
    average = next(each for each in load_registry().metrics if each.name == "eodds_average")
    for row, score in enumerate(found.scores):
        assert rows[row]["gap"] == interval([found.values(average, row)], average).as_dict()
        assert rows[row]["recovery"] == score.recovery.as_dict()
    assert rows[2]["gap"]["low"] == 0.0


def by_weights(edit: EditScore, weights: np.ndarray, *, signed: bool) -> float:
    """Recovery from weighted rates, without zobench; the gap keeps the signs of the data or none."""

    def rates(scores: tuple[float, ...], weights: np.ndarray = weights) -> list[float]:
        positive = np.asarray(scores) > 0
        cells = [(y == LABEL) & (a == SENSITIVE) for y in (0, 1) for a in (0, 1)]
        return [float(weights[cell & positive].sum() / weights[cell].sum()) for cell in cells]

    def gap(of: list[float], scores: tuple[float, ...]) -> float:
        data = rates(scores, np.ones(len(LABEL)))
        terms = [of[0] - of[1], of[3] - of[2]]
        seen = [data[0] - data[1], data[3] - data[2]]
        if signed:
            return sum(-x if on_data < 0 else x for x, on_data in zip(terms, seen, strict=True)) / 2
        return (abs(terms[0]) + abs(terms[1])) / 2

    def accuracy(of: list[float]) -> float:
        sizes = [weights[(y == LABEL) & (a == SENSITIVE)].sum() for y in (0, 1) for a in (0, 1)]
        right = [1 - of[0], 1 - of[1], of[2], of[3]]
        return float(np.dot(right, sizes) / np.sum(sizes))

    erm, now = rates(ERM.score), rates(edit.score)
    if accuracy(now) < accuracy(erm) - 0.01 - 1e-9:
        return 0.0
    whole = gap(erm, ERM.score)
    return (whole - gap(now, edit.score)) / whole


def test_a_baseline_is_compared_with_erm_and_its_fairness_per_query_is_its_recovery() -> None:
    found = results(HALF, baselines={"one": FAIR.score, "other": HALF.score}, combined=FAIR.score)
    assert [each.recovery.value for each in found.baselines.values()] == pytest.approx([1.0, 0.5])
    assert np.array_equal(found.baseline_values("one", FPQ), found.baseline_values("one", RECOVERY))
    assert found.baseline_point("other") == pytest.approx((20.0, 70.0))
    assert found.combined is not None
    assert found.combined.recovery.value == pytest.approx(1.0)
    assert found.combined.queries == 100


def test_a_run_that_has_scored_only_erm_says_nothing_of_a_placebo() -> None:
    assert results().beyond_placebo is None
    waiting = results(equal={100: 100})
    assert waiting.beyond_placebo is None
    nothing = results(equal={100: 0})  # the last snapshot is the zero edit
    assert nothing.beyond_placebo is not None
    assert nothing.beyond_placebo.value == 0


def test_snapshots_with_equal_edits_are_points_of_the_curve_and_one_row_of_the_table() -> None:
    found = results(HALF, equal={50: 0, 100: 100, 300: 100, 900: 100})
    assert found.queries == (50, 100, 300, 900)
    assert [each.queries for each in found.scores] == [0, 900]
    assert found.curve.recovery[:, 0].tolist() == pytest.approx([0, 0, 0.5, 0.5, 0.5])


def test_gap_and_accuracy_of_a_snapshot_that_is_not_scored_lie_on_the_line_in_every_resample() -> (
    None
):
    found = results(HALF, COSTLY, equal={30: 30, 100: 100, 400: 400, 1000: 1000}, scored=2)
    assert found.queries == (30, 100, 400, 1000)
    assert [queries for queries, edit in found.points if edit is None] == [30, 400]
    assert found.curve.gap_recovery[:, 0].tolist() == pytest.approx(
        [
            0.0,
            0.5 * np.log(4) / np.log(11),
            0.5,
            0.5 + 0.5 * np.log(4.1 / 1.1) / np.log(10.1 / 1.1),
            1,
        ]
    )  # positions log(q + 10)
    late = np.log(4.1 / 1.1) / np.log(10.1 / 1.1)
    curve = found.curve
    np.testing.assert_allclose(curve.gap[3], curve.gap[2] + late * (curve.gap[4] - curve.gap[2]))
    np.testing.assert_allclose(
        curve.accuracy[3], curve.accuracy[2] + late * (curve.accuracy[4] - curve.accuracy[2])
    )
    assert curve.recovery[3, 0] == curve.recovery[4, 0] == 0.0  # accuracy fell too far
    shares, widths = curve.recovery[1:4], np.log([100 / 30, 400 / 100, 1000 / 400])
    np.testing.assert_allclose(found.fpq, (widths[:, None] * shares).sum(0) / np.log(100))


def test_an_edit_that_goes_too_far_gives_no_snapshot_between_more_than_both_ends() -> None:
    beyond = scored(1000, 2.0, 0.35, 0.1, 0.75, 0.5)  # signed gaps of the other sign
    found = results(beyond, equal={100: 100, 1000: 1000}, scored=1)
    first, between, last = found.curve.gap_recovery[:, 0]
    assert first < between < last < 0.5


def test_the_curve_ends_before_the_first_snapshot_that_is_not_scored_until_enough_are() -> None:
    equal = {30: 0, 100: 100, 400: 400, 1000: 1000}
    assert results(HALF, FAIR, equal=equal, scored=3).queries == (30, 100)
    assert results(FAIR, equal=equal, scored=3).queries == (30,)
    assert results(HALF, FAIR, equal=equal, scored=2).queries == (30, 100, 400, 1000)
