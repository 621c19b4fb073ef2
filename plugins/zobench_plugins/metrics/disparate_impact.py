"""Disparate impact and demographic parity: how often the disease is predicted in each group.

``di_gap_tpr`` compares the true positive rates of the groups instead.

A ratio 0/0 counts as 1 (no disparity); a positive number over 0 is infinite.
"""

from __future__ import annotations

from math import inf

import numpy as np

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.group_rates import Floats, ratio


def _of_shares(counts: GroupCounts) -> Floats:
    return np.asarray(100.0 * (ratio(counts.share[:, 1], counts.share[:, 0]) - 1.0))


def _of_true_positive_rates(counts: GroupCounts) -> Floats:
    rate = counts.rate[:, 1]
    return np.asarray(100.0 * (ratio(rate[:, 1], rate[:, 0]) - 1.0))


def _difference(counts: GroupCounts) -> Floats:
    return np.asarray(100.0 * (counts.share[:, 1] - counts.share[:, 0]))


DI_GAP = Metric(
    name="di_gap",
    heading="|1-DI|",
    latex=r"$|1-DI|$",
    summary="|1 - P(yhat=1|a=1) / P(yhat=1|a=0)|, the paper's formula",
    signed=True,
    high=inf,
    in_tables=False,
    from_counts=_of_shares,
)
DI_GAP_TPR = Metric(
    name="di_gap_tpr",
    heading="|1-DI| tpr",
    latex=r"$|1-DI_{TPR}|$",
    summary="|1 - TPR(a=1) / TPR(a=0)|, which the paper's published table contains",
    signed=True,
    high=inf,
    from_counts=_of_true_positive_rates,
)
DP_GAP = Metric(
    name="dp_gap",
    heading="DP gap",
    latex=r"$DP$",
    summary="|P(yhat=1|a=1) - P(yhat=1|a=0)|, demographic parity",
    signed=True,
    in_tables=False,
    from_counts=_difference,
)
