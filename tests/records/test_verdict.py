"""The verdict of a run, on scores whose gaps are known by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scored_by_hand import COSTLY, ERM, FAIR, HALF, PLACEBO, results, scored
from tiny import SIZES, run

from zobench.contracts.run_status import RunStatus
from zobench.measures.edit_score import EditScore
from zobench.records.results import Results
from zobench.records.score_rows import lost_points
from zobench.records.verdict import Case, verdict

DONE = RunStatus.DONE
WIDER = scored(1000, 2.0, 0.05, 0.55, 0.45, 0.95)  # gap 50, accuracy 70
SLIGHT = scored(1000, 2.0, 0.1, 0.48, 0.5, 0.9)  # gap 39, accuracy 70.5
ZERO = scored(1000, 0.0, 0.1, 0.5, 0.5, 0.9)


def case(found: Results) -> Case:
    return verdict(found, DONE).case


def test_each_case_is_told_from_the_others() -> None:
    assert verdict(None, RunStatus.RUNNING).case is Case.UNSCORED
    assert case(results()) is Case.UNSCORED
    assert case(results(FAIR)) is Case.REMOVED
    assert case(results(COSTLY)) is Case.ACCURACY_LOST
    assert case(results(COSTLY, tolerance=20.0)) is Case.REMOVED
    assert case(results(WIDER)) is Case.WIDENED
    assert case(results(SLIGHT)) is Case.NOTHING
    assert case(results(ZERO)) is Case.NO_EDIT
    fair = scored(0, 0.0, 0.3, 0.3, 0.7, 0.7)
    assert case(results(FAIR, edits=[fair, FAIR])) is Case.NO_GAP
    text = verdict(results(FAIR, edits=[fair, FAIR]), DONE).text
    assert re.search(r"No gap .* was measured .* may be up to [1-9]\d? points", text)


def test_a_gap_that_grew_within_chance_is_not_said_to_be_removed() -> None:
    text = verdict(results(scored(1000, 2.0, 0.1, 0.51, 0.5, 0.92)), DONE).text
    assert text.startswith("Nothing was found: the edit made the gap larger, by 5 % [")  # 42 of 40
    assert "removed" not in text


def test_a_gap_within_chance_is_named_in_place_of_advice() -> None:
    slight = scored(0, 0.0, 0.3, 0.32, 0.7, 0.72)  # 2 points, with 50 images in a cell
    found = results(edits=[slight, scored(1000, 2.0, 0.3, 0.34, 0.7, 0.72)])
    text = verdict(found, DONE, "Try another.").text
    assert "The gap without an edit, 2.0 points [0, " in text
    assert "split.test_per_cell" in text
    assert "Try another." not in text


@pytest.mark.parametrize("last", [HALF, scored(1000, 2.0, 0.2, 0.4, 0.6, 1.0)])
@pytest.mark.parametrize("first", [ERM, scored(0, 0.0, 0.0, 0.5, 0.5, 0.9)])
def test_intervals_of_groups_that_are_called_alike_are_said_to_be_too_short(
    first: EditScore, last: EditScore
) -> None:
    text = verdict(results(edits=[first, last], tolerance=90.0), DONE).text
    assert ("intervals of the gaps are too short" in text) == ((first, last) != (ERM, HALF))


def test_two_intervals_of_nearly_one_number_are_told_once() -> None:
    differing = []
    for tolerance in np.linspace(0.0, 12.0, 49):
        found = results(HALF, tolerance=float(tolerance))
        counted, share = found.scores[-1].recovery, found.scores[-1].gap_recovery
        apart = max(abs(counted.low - share.low), abs(counted.high - share.high))
        assert ("The edit's recovery is" in verdict(found, DONE).text) == (apart >= 0.02)
        differing.append(apart)
    assert max(differing) > 0.02
    assert any(0 < apart < 0.02 for apart in differing)


def test_a_share_of_nothing_has_no_sign() -> None:
    wide = scored(0, 0.0, 0.0, 0.96, 0.02, 1.0)
    worse = scored(1000, 2.0, 0.0, 0.98, 0.02, 1.0)  # recovery -0.01
    found = results(edits=[wide, HALF], controls={"placebo": worse}, tolerance=90.0)
    text = verdict(found, DONE).text
    assert "its placebo made the gap larger by 1 %" in text
    text = verdict(results(edits=[ERM, HALF], controls={"placebo": ERM}), DONE).text
    assert "its placebo removed 0 %" in text


def test_it_says_what_the_edit_its_placebo_and_the_best_free_method_remove() -> None:
    free = {"one": HALF.score, "best": FAIR.score}
    found = results(FAIR, controls={"placebo": PLACEBO}, baselines=free, tolerance=20.0)
    text = verdict(found, DONE).text
    assert text.startswith("The edit removed 100 % [")
    assert "accuracy is the same within chance" in text
    assert "its placebo removed 20 %" in text
    assert "best, at no query, removes 100 %" in text
    assert "beat" not in text  # the edit has 0.8 more than its placebo


def test_the_interval_of_recovery_is_named_where_it_is_another_one() -> None:
    """The accuracy of the edit is ERM's, so half of the resamples lose some."""
    text = verdict(results(HALF, tolerance=0.0), DONE).text
    assert re.match(r"The edit removed 50 % \[[1-9]\d*, \d+\] of the gap", text)
    assert re.search(
        r"The edit's recovery is 50 % \[0, \d+\]: it counts as 0 in .* falls by more than 0 points\.",
        text,
    )
    assert "edit's recovery" not in verdict(results(HALF, tolerance=90.0), DONE).text
    assert "edit's recovery" not in verdict(results(COSTLY), DONE).text


def test_the_best_free_method_has_its_interval() -> None:
    text = verdict(results(FAIR, baselines={"best": FAIR.score}, tolerance=20.0), DONE).text
    assert re.search(r"best, at no query, removes 100 % \[\d+, 1\d\d\]", text)


def test_an_edit_no_better_than_its_placebo_is_not_praised() -> None:
    text = verdict(results(HALF, controls={"placebo": HALF}), DONE).text
    assert "which the edit does not beat by more than chance (0 % [0, 0])" in text


def test_a_loss_of_accuracy_is_named_with_the_edit_that_was_passed_on_the_way() -> None:
    found = verdict(results(HALF, COSTLY), DONE, "Try another.").text
    assert "accuracy fell by 10.0 points, more than the tolerance of 1" in found
    assert "the edit removed 100 % [" in found
    assert "An edit on the way had removed 50 % [" in found
    assert "after 100 queries" in found
    assert "Try another." not in found  # it is for runs that found nothing
    assert "Try another." not in verdict(results(FAIR), DONE, "Try another.").text
    assert verdict(results(SLIGHT), DONE, "Try another.").text.endswith("Try another.")


def test_one_rule_tells_a_loss_of_accuracy_in_the_edit_and_its_placebo() -> None:
    slight = scored(1000, 2.0, 0.08, 0.48, 0.46, 0.84)  # gap 39, accuracy 68.5
    text = verdict(results(slight, controls={"placebo": slight}), DONE).text
    assert text.startswith("Nothing was found: the edit removed ")
    assert (
        "fell by 1.5 points, more than the tolerance of 1 (chance alone could explain it)" in text
    )
    assert "its placebo lost 1.5 points of accuracy, too many to count" in text
    assert "the same" not in text


@pytest.mark.parametrize(
    ("loss", "told"), [(1.5, "1.5"), (1.04, "1.04"), (1.004, "1.004"), (10.0, "10.0")]
)
def test_a_loss_is_shown_with_the_digits_by_which_it_passes_the_tolerance(
    loss: float, told: str
) -> None:
    assert lost_points(loss, 1.0) == f"{told} points, more than the tolerance of 1"


def test_an_edit_is_not_compared_with_a_placebo_that_costs_too_much() -> None:
    text = verdict(results(HALF, controls={"placebo": COSTLY}), DONE).text
    assert "its placebo lost 10.0 points of accuracy, too many to count" in text
    assert "does not beat" not in text


def test_the_other_sign_is_named_where_it_does_no_worse() -> None:
    worse, better = {"negative": PLACEBO}, {"negative": FAIR}
    assert "other sign" not in verdict(results(HALF, controls=worse, tolerance=20.0), DONE).text
    text = verdict(results(HALF, controls=better, tolerance=20.0), DONE).text
    assert "with the other sign it removed 100 %, no less" in text


def test_an_unfinished_run_says_so() -> None:
    text = verdict(results(HALF), RunStatus.INTERRUPTED).text
    assert text.startswith("The run is interrupted; this is what the edit after 100 queries does. ")


def test_it_is_in_the_json_of_a_run_and_says_what_its_optimizer_advises(tmp_path: Path) -> None:
    found = run(tmp_path, optimizer="random", overrides=SIZES)
    told = found.as_dict()["verdict"]
    assert told == {"case": found.verdict.case, "text": found.verdict.text}
    assert found.results is not None
    assert found.results.scores[0].metrics["eodds_average"].low == 0  # so there is no gap to remove
    assert found.verdict.case is Case.NOTHING
    assert "itself no more than chance" in found.verdict.text
    sizes = {"split": {"train": 120, "test_per_cell": 40, "gap": 0.9, "positive_rate": 0.5}}
    found = run(tmp_path, optimizer="random", overrides=sizes, seed=1)
    assert found.verdict.case in (Case.NOTHING, Case.WIDENED)
    assert "margin-probes" in found.verdict.text


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_method_that_costs_too_much_does_not_count_as_removing(share: float) -> None:
    costly = scored(0, 0.0, 0.5 + share / 2, 0.5 + share / 2, 0.5, 0.5)
    text = verdict(results(HALF, baselines={"one": costly.score}), DONE).text
    assert re.search(r"one, at no query, loses \d+\.\d points of accuracy, too many to count", text)
    assert ERM.queries == 0
