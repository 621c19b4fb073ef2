"""Equalised odds (Hardt, Price and Srebro 2016): gaps of the error rates between the groups.

The two gaps are the absolute values of the gaps in Jin et al. 2024, section 3.1.
"""

from __future__ import annotations

import numpy as np

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.group_rates import Floats, equalised_odds_gaps


def _average(counts: GroupCounts) -> Floats:
    """The mean of both gaps, each with the sign that makes it positive on the data (row 0).

    Absolute values of resamples lie too high where a gap is near 0; with the signs of the data the
    resamples vary about the value as it varies itself, and its interval holds the truth.
    """
    eo_n, eo_p = equalised_odds_gaps(counts)
    return np.asarray((np.sign(eo_n[0]) * eo_n + np.sign(eo_p[0]) * eo_p) / 2)


def _largest(counts: GroupCounts) -> Floats:
    """The gap that is larger on the data (row 0)."""
    eo_n, eo_p = equalised_odds_gaps(counts)
    return eo_n if abs(eo_n[0]) >= abs(eo_p[0]) else eo_p


EO_N = Metric(
    name="eo_n",
    heading="EO_n",
    latex=r"$EO_n$",
    summary="|P(yhat=0|y=0,a=1) - P(yhat=0|y=0,a=0)|",
    signed=True,
    from_counts=lambda counts: equalised_odds_gaps(counts)[0],
)
EO_P = Metric(
    name="eo_p",
    heading="EO_p",
    latex=r"$EO_p$",
    summary="|P(yhat=1|y=1,a=1) - P(yhat=1|y=1,a=0)|",
    signed=True,
    from_counts=lambda counts: equalised_odds_gaps(counts)[1],
)
AVERAGE = Metric(
    name="eodds_average",
    heading="EO mean",
    latex=r"$\overline{EO}$",
    summary="(eo_n + eo_p) / 2, the gap that recovery is about",
    signed=True,
    in_tables=False,
    from_counts=_average,
)
MAXIMUM = Metric(
    name="eodds_max",
    heading="EO max",
    latex=r"$EO_{max}$",
    summary="max(eo_n, eo_p)",
    signed=True,
    in_tables=False,
    from_counts=_largest,
)
