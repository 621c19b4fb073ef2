"""Recovery, the share of the gap that an edit removed, and fairness per query.

Recovery at q queries is ``r(q) = (gap(ERM) - gap(edit_q)) / gap(ERM)``, where ``edit_q`` is the
last snapshot at or before q and ``gap`` is the mean of ``|eo_p|`` and ``|eo_n|``. Recovery is 0
before the first snapshot, 0 if the gap of ERM is 0, and 0 for an edit that costs more accuracy than
the tolerance. Recovery is negative if the edit makes the gap larger.

In the resamples of the patients, the gap of *one run* keeps the signs that its two terms have on the
data, see :func:`~zobench.measures.group_rates.signed_gap`. Recovery then exceeds 1 where a gap changes
its sign, so the percentiles around a recovery near 1 include 1. For a mean over seeds, and for a
difference between runs, the gap is the mean of the absolute values: the mean over seeds of absolute
values is biased, and the distance of the resamples from the data tells by how much
(:mod:`zobench.measures.interval`); and equal gaps of opposite signs do not differ.

Fairness per query (FPQ) is the area under r(q) over log q, from the cost of one evaluation to the
budget, divided by the width of that range. FPQ is 1 if the gap is 0 from the first evaluation on,
and 0 if no snapshot changes the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import GroupCounts, Metric

from .group_rates import accuracy, gap, signed_gap

Floats = NDArray[np.float64]

FPQ = Metric(
    name="fpq",
    heading="FPQ",
    summary="fairness per query: area under recovery over log queries, divided by its width",
    unit="share",
    low=-inf,
    high=1.0,
    higher_is_better=True,
    margin=0.02,
)
RECOVERY = Metric(
    name="recovery",
    heading="recovery",
    summary="share of ERM's gap that is gone; 0 where accuracy falls by more than the tolerance",
    unit="share",
    low=-inf,
    high=1.0,
    higher_is_better=True,
    margin=0.1,
)

GAP = Metric(
    name="gap",
    heading="gap",
    summary="mean of |eo_n| and |eo_p|",
    signed=True,
)
"""The gap of a point of the curve, with the bounds of ``eodds_average``."""

BEYOND_PLACEBO = Metric(
    name="beyond_placebo",
    heading="beyond placebo",
    summary="recovery of the last edit minus that of its placebo",
    unit="share",
    low=-inf,
    high=inf,
    higher_is_better=True,
    in_narrow_tables=False,
    margin=0.1,
)

ROUNDING = 1e-9
"""Slack, in percent or as a share: rounding must not reject what is equal to a limit."""


def recovery(
    erm_gap: Floats, edit_gap: Floats, erm_accuracy: Floats, edit_accuracy: Floats, tolerance: float
) -> Floats:
    """Recovery of one edit, elementwise; all arguments in percent, of shapes that broadcast.

    Args:
        erm_gap: Gap without an edit.
        edit_gap: Gap with the edit.
        erm_accuracy: Accuracy without an edit.
        edit_accuracy: Accuracy with the edit.
        tolerance: Largest allowed loss of accuracy, in percentage points.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(erm_gap > ROUNDING, (erm_gap - edit_gap) / erm_gap, 0.0)
    return np.where(edit_accuracy < erm_accuracy - tolerance - ROUNDING, 0.0, share)


def reaches(value: float, target: float) -> bool:
    """Whether a recovery is at least a target; rounding does not miss one that is equal."""
    return value >= target - ROUNDING


@dataclass(frozen=True)
class Recoveries:
    """Gap, accuracy and recovery ``(S, R + 1)`` of S predictions on the data and on R resamples.

    Attributes:
        gap: Mean of ``|eo_n|`` and ``|eo_p|``, in percent; in the resamples absolute or with the
            signs of the data.
        accuracy: Accuracy, in percent.
        recovery: Recovery, 0 where accuracy falls by more than the tolerance.
        gap_recovery: Recovery, whatever the accuracy.
    """

    gap: Floats
    accuracy: Floats
    recovery: Floats
    gap_recovery: Floats

    @classmethod
    def of(cls, gaps: Floats, accuracies: Floats, tolerance: float) -> Recoveries:
        """The recoveries of gaps and accuracies, each ``(S, R + 1)`` and ERM's first.

        Args:
            gaps: Gaps in percent.
            accuracies: Accuracies in percent.
            tolerance: Points of accuracy that may be lost before a recovery counts as 0.
        """
        pairs = (gaps[0], gaps, accuracies[0], accuracies)
        return cls(gaps, accuracies, recovery(*pairs, tolerance), recovery(*pairs, inf))

    @classmethod
    def of_counts(
        cls, counts: Sequence[GroupCounts], tolerance: float, *, absolute: bool = False
    ) -> Recoveries:
        """The recoveries of group counts, ERM's first.

        Args:
            counts: The counts of each prediction.
            tolerance: Points of accuracy that may be lost before a recovery counts as 0.
            absolute: Whether gaps are absolute in the resamples, as a mean over seeds needs; else
                they keep the signs that they have on the data.
        """
        gaps = np.stack([(gap if absolute else signed_gap)(count) for count in counts])
        return cls.of(gaps, np.stack([accuracy(count) for count in counts]), tolerance)


def fairness_per_query(queries: list[int], recoveries: Floats, first: int, budget: int) -> Floats:
    """Area under the recovery curve over log queries.

    Args:
        queries: Query counts of the snapshots, increasing, ``(S,)``.
        recoveries: Recovery of each snapshot, ``(S, R)`` for R resamples.
        first: Queries of one evaluation, the start of the query axis.
        budget: Queries of the budget, the end of the query axis.

    Returns:
        ``(R,)``, the area divided by the width of the axis; the last recovery if the width is 0.
    """
    if budget <= first:
        return np.asarray(recoveries[-1] if len(recoveries) else np.zeros(recoveries.shape[1:]))
    stops = np.log(np.clip([*queries, budget], first, budget))
    widths = np.diff(stops)
    area = np.zeros(recoveries.shape[1:])
    for width, share in zip(widths, recoveries, strict=True):
        area = area + width * share  # a matrix product would round by the number of resamples
    return np.asarray(area / (np.log(budget) - np.log(first)))
