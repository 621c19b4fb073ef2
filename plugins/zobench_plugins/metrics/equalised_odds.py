"""Equalised odds (Hardt, Price and Srebro 2016): differences between the groups' error rates.

EO_n and EO_p are the gaps of Jin et al. 2024, section 3.1; tables show their absolute values.
"""

from __future__ import annotations

import numpy as np

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.group_rates import Floats, equalised_odds_gaps, gap, signed_gap


def _largest(counts: GroupCounts) -> Floats:
    """The signed gap, EO_n or EO_p, with the larger absolute value on the data (row 0)."""
    eo_n, eo_p = equalised_odds_gaps(counts)
    return eo_n if abs(eo_n[0]) >= abs(eo_p[0]) else eo_p


def _largest_of_each(counts: GroupCounts) -> Floats:
    """The larger of the two absolute gaps, in each resample."""
    return np.maximum(*map(np.abs, equalised_odds_gaps(counts)))


EO_N = Metric(
    name="eo_n",
    heading="EO_n",
    latex=r"$EO_n$",
    summary="|P(yhat=0|y=0,a=1) - P(yhat=0|y=0,a=0)|",
    signed=True,
    in_narrow_tables=True,
    from_counts=lambda counts: equalised_odds_gaps(counts)[0],
)
EO_P = Metric(
    name="eo_p",
    heading="EO_p",
    latex=r"$EO_p$",
    summary="|P(yhat=1|y=1,a=1) - P(yhat=1|y=1,a=0)|",
    signed=True,
    in_narrow_tables=True,
    from_counts=lambda counts: equalised_odds_gaps(counts)[1],
)
AVERAGE = Metric(
    name="eodds_average",
    heading="EO mean",
    latex=r"$\overline{EO}$",
    summary="(eo_n + eo_p) / 2, the gap that recovery is about",
    signed=True,
    in_tables=False,
    from_counts=signed_gap,
    from_counts_in_means=gap,
)
MAXIMUM = Metric(
    name="eodds_max",
    heading="EO max",
    latex=r"$EO_{max}$",
    summary="max(eo_n, eo_p)",
    signed=True,
    in_tables=False,
    from_counts=_largest,
    from_counts_in_means=_largest_of_each,
)
