"""Accuracy of the disease classifier: over all images, and in the worst of the cells (y, a)."""

from __future__ import annotations

import numpy as np

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.group_rates import Floats, accuracy


def _worst_cell(counts: GroupCounts) -> Floats:
    """The accuracy of the cell that is worst on the data, in all resamples.

    The worst cell of each resample would be another one by chance, and always worse.
    """
    rate = counts.rate
    right = np.concatenate([1.0 - rate[:, 0], rate[:, 1]], axis=1)
    return np.asarray(100.0 * right[:, right[0].argmin()])


ACCURACY = Metric(
    name="accuracy",
    heading="accuracy",
    latex="Acc",
    summary="P(yhat = y)",
    higher_is_better=True,
    margin=2.0,
    in_narrow_tables=True,
    from_counts=accuracy,
)
WORST_GROUP = Metric(
    name="worst_group",
    heading="worst group",
    latex="Worst",
    summary="lowest accuracy among the four cells of (y, a)",
    higher_is_better=True,
    in_tables=False,
    from_counts=_worst_cell,
)
