"""Recovery, the share of the gap that an edit removed, and fairness per query.

Recovery at q queries is ``r(q) = (gap(ERM) - gap(edit_q)) / gap(ERM)`` of the snapshot recommended
at or before q, with ``gap`` the mean of eo_p and eo_n. It is 0 before the first snapshot, and 0 for
an edit that costs more accuracy than the tolerance; negative recovery is harm.

Fairness per query (FPQ) is the area under r(q) over log q, from one evaluation to the budget,
divided by the width: 1 is everything at once, 0 is nothing.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric

Floats = NDArray[np.float64]

FPQ = Metric(
    name="fpq",
    heading="FPQ",
    summary="fairness per query: area under recovery over log queries, divided by its width",
    unit="share",
    low=-inf,
    high=1.0,
    higher_is_better=True,
)
RECOVERY = Metric(
    name="recovery",
    heading="recovery",
    summary="share of ERM's gap that is gone; 0 where accuracy falls by more than the tolerance",
    unit="share",
    low=-inf,
    high=1.0,
    higher_is_better=True,
)

ROUNDING = 1e-9
"""Percent; shares of images are no exact floats, and a loss of just the tolerance is allowed."""


def recovery(
    erm_gap: Floats, gap: Floats, erm_accuracy: Floats, accuracy: Floats, tolerance: float
) -> Floats:
    """Recovery of one edit, elementwise; all arguments in percent, of shapes that broadcast.

    Args:
        erm_gap: Gap without an edit.
        gap: Gap with it.
        erm_accuracy: Accuracy without an edit.
        accuracy: Accuracy with it.
        tolerance: Points of accuracy that may be lost.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(erm_gap > 0, (erm_gap - gap) / erm_gap, 0.0)
    return np.where(accuracy < erm_accuracy - tolerance - ROUNDING, 0.0, share)


def fairness_per_query(queries: list[int], recoveries: Floats, first: int, budget: int) -> Floats:
    """Area under the recovery curve over log queries.

    Args:
        queries: Query counts of the snapshots, increasing, ``(S,)``.
        recoveries: Their recoveries, ``(S, R)`` for R resamples.
        first: Queries of one evaluation, where the axis begins.
        budget: Where it ends.

    Returns:
        ``(R,)``; the curve is a step function, so the sum is exact.
    """
    if budget <= first:
        return np.asarray(recoveries[-1] if len(recoveries) else np.zeros(recoveries.shape[1:]))
    stops = np.log(np.clip([*queries, budget], first, budget))
    widths = np.diff(stops)
    return np.asarray(widths @ recoveries / (np.log(budget) - np.log(first)))
