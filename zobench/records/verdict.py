"""The verdict of a run: one plain statement from a small set of cases, with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from zobench.contracts.run_status import RunStatus
from zobench.measures.interval import Interval, interval
from zobench.measures.recovery import GAP

from .results import Results
from .score_rows import ClassifierScore, Score, lost_points

LEAST_APART = 0.02
"""Difference between the ends of two intervals from which both are told."""


class Case(StrEnum):
    """What a run came to."""

    UNSCORED = "unscored"
    """No edit is scored yet."""
    NO_GAP = "no gap"
    """The classifier without an edit has no gap to remove."""
    NO_EDIT = "no edit"
    """The optimizer recommends to send images as they are."""
    ACCURACY_LOST = "accuracy lost"
    """The edit costs more accuracy than the tolerance, so its recovery counts as 0."""
    REMOVED = "removed"
    """The edit removed a part of the gap, by more than chance."""
    WIDENED = "widened"
    """The edit made the gap larger, by more than chance."""
    NOTHING = "nothing"
    """The gap with the edit differs from ERM's by no more than chance."""


@dataclass(frozen=True)
class Verdict:
    """What a run came to, in words.

    Attributes:
        case: Which case it is.
        text: A few plain sentences with numbers; shares are in percent of ERM's gap.
    """

    case: Case
    text: str

    def as_dict(self) -> dict[str, str]:
        """The verdict as a JSON object."""
        return {"case": str(self.case), "text": self.text}


def verdict(results: Results | None, status: RunStatus, advice: str = "") -> Verdict:
    """The verdict of a run.

    *More than chance* means that the 95 % interval over patients excludes 0.

    Args:
        results: The scores; ``None`` if there are none yet.
        status: The run status.
        advice: What the optimizer's plugin says to users whose run found nothing, or harm.
    """
    if results is None or len(results.scores) < 2:
        return Verdict(Case.UNSCORED, "No edit is scored yet, so nothing is known.")
    last = results.scores[-1]
    case = _case(results, last)
    sentences = [_unfinished(status, last), _opening(case, results, last)]
    if case in (Case.REMOVED, Case.NOTHING):
        sentences.append(_counted(results, last))
    if case in (Case.ACCURACY_LOST, Case.NOTHING, Case.WIDENED):
        sentences.append(_on_the_way(results))
    if case in (Case.NOTHING, Case.WIDENED):
        sentences.append(_within_chance(results) or advice)
    sentences.append(_called_alike(results))
    return Verdict(case, " ".join(filter(None, sentences)))


def _unfinished(status: RunStatus, last: Score) -> str:
    """What is not final about a verdict; empty for a run that is done."""
    if status is RunStatus.DONE:
        return ""
    return f"The run is {status}; this is what the edit after {last.queries:,} queries does."


def _within_chance(results: Results) -> str:
    """What keeps every optimizer from showing anything: a gap without an edit that chance explains."""
    erm = _without_an_edit(results)
    if erm.low > 0:
        return ""
    return (
        f"The gap without an edit, {erm.value:.1f} points [{erm.low:.0f}, {erm.high:.0f}], is itself no "
        "more than chance, so no optimizer could be seen to remove it here; that takes more test images "
        "(split.test_per_cell), or data with a larger gap."
    )


def _called_alike(results: Results) -> str:
    """A sentence on intervals that are too short; empty if every cell has calls of both kinds."""
    rates = [results.resamples.counts(row).rate[0] for row in (0, len(results.edits) - 1)]
    if not np.isin(rates, (0.0, 1.0)).any():
        return ""
    return (
        "All test images of one group with the finding, or without it, are called alike, without the "
        "edit or with it: their resamples cannot differ, and intervals of the gaps are too short. Take "
        "more test images (split.test_per_cell)."
    )


def _without_an_edit(results: Results) -> Interval:
    return interval([results.resamples.recoveries.gap[0]], GAP)


def _case(results: Results, last: Score) -> Case:
    recoveries = results.resamples.recoveries
    if recoveries.gap[0, 0] == 0:
        return Case.NO_GAP
    if last.norm == 0:
        return Case.NO_EDIT
    if last.gap_recovery.low > 0:
        return Case.ACCURACY_LOST if last.accuracy_lost else Case.REMOVED
    return Case.WIDENED if last.gap_recovery.high < 0 else Case.NOTHING


def _opening(case: Case, results: Results, last: Score) -> str:
    if case is Case.NO_GAP:
        erm = _without_an_edit(results)
        said = (
            "No gap between the groups was measured without an edit, so there is nothing to remove"
        )
        if round(erm.high) == 0:
            return f"{said}."
        return f"{said}; by its interval it may be up to {erm.high:.0f} points."
    tail = _compared(results)
    if case is Case.NO_EDIT:
        return f"No edit is recommended: images are best sent as they are{tail}."
    share = _percent(last.gap_recovery)
    accuracy = _accuracy(results, last)
    if case is Case.ACCURACY_LOST:
        return (
            f"Recovery counts as 0, because {accuracy}; the edit removed {share} of the gap{tail}."
        )
    if case is Case.REMOVED:
        return f"The edit removed {share} of the gap, {accuracy}{tail}."
    if case is Case.WIDENED:
        return (
            f"The edit made the gap larger, by {_percent(last.gap_recovery, -1)}, {accuracy}{tail}."
        )
    did = f"removed {share} of the gap"
    if last.gap_recovery.value < 0:
        did = f"made the gap larger, by {_percent(last.gap_recovery, -1)}"
    return f"Nothing was found: the edit {did}, no more than chance, {accuracy}{tail}."


def _counted(results: Results, last: Score) -> str:
    """A sentence with recovery and its interval; empty if the gap's share has nearly the same."""
    counted, share = last.recovery, last.gap_recovery
    apart = max(abs(counted.low - share.low), abs(counted.high - share.high))
    if last.accuracy_lost or apart < LEAST_APART:
        return ""
    return (
        f"The edit's recovery is {_percent(counted)}: it counts as 0 in resamples of the patients where "
        f"accuracy falls by more than {_points(results.config.tolerance)}."
    )


def _points(tolerance: float) -> str:
    return f"{tolerance:g} point{'' if tolerance == 1 else 's'}"


def _compared(results: Results) -> str:
    """Clauses on the placebo, and on the best method that needs no query."""
    clauses = ""
    placebo = results.controls.get("placebo")
    if placebo is not None:
        clauses += f"; its placebo {removed_in_words(placebo)}"
        beyond = None if placebo.accuracy_lost else results.beyond_placebo
        if beyond is not None and beyond.low <= 0 < results.scores[-1].gap_recovery.low:
            clauses += f", which the edit does not beat by more than chance ({_percent(beyond)})"
    negative, last = results.controls.get("negative"), results.scores[-1]
    if negative is not None and negative.recovery.value >= max(last.recovery.value, 1e-9):
        clauses += f"; with the other sign it {removed_in_words(negative)}, no less"
    if results.baselines:
        name, best = max(results.baselines.items(), key=lambda item: float(item[1].recovery.value))
        low, high = (round(100 * float(end)) + 0 for end in (best.recovery.low, best.recovery.high))
        sure = "" if best.accuracy_lost else f" [{low}, {high}]".replace("-", "\N{MINUS SIGN}")
        clauses += f"; {name}, at no query, {removed_in_words(best, past=False)}{sure}"
    return clauses


def removed_in_words(score: ClassifierScore, past: bool = True) -> str:
    """What an edit or a method did to the gap, or does: a verb and a share in percent."""
    if score.accuracy_lost:
        lost = "lost" if past else "loses"
        return f"{lost} {-score.accuracy_change.value:.1f} points of accuracy, too many to count"
    share = round(100 * float(score.recovery.value)) + 0  # no minus before a zero
    if share < 0:
        return f"{'made' if past else 'makes'} the gap larger by {-share} %"
    return f"{'removed' if past else 'removes'} {share} %"


def _on_the_way(results: Results) -> str:
    """The best edit before the last, where that one recovers more than chance."""
    earlier = results.scores[1:-1]
    best = max(earlier, key=lambda score: float(score.recovery.value), default=None)
    if best is None or best.recovery.value <= 0 or best.gap_recovery.low <= 0:
        return ""
    return (
        f"An edit on the way had removed {_percent(best.gap_recovery)} of the gap, after "
        f"{best.queries:,} queries."
    )


def _accuracy(results: Results, score: ClassifierScore) -> str:
    change = score.accuracy_change
    if score.accuracy_lost:
        chance = " (chance alone could explain it)" if change.high >= 0 else ""
        return f"accuracy fell by {lost_points(-change.value, results.config.tolerance)}{chance}"
    if change.low > 0:
        return f"accuracy rose by {change.value:.1f} points"
    if change.high < 0:
        return f"accuracy fell by {-change.value:.1f} points"
    return "accuracy is the same within chance"


def _percent(share: Interval, sign: int = 1) -> str:
    """A share in percent with its interval; with sign -1 what is lost counts as positive."""
    low, high = sorted((sign * share.low, sign * share.high))
    value, low, high = (round(100 * number) + 0 for number in (sign * share.value, low, high))
    return f"{value} % [{low}, {high}]".replace("-", "\N{MINUS SIGN}")
