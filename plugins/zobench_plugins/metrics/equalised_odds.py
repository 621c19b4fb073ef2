"""Equalised odds (Hardt, Price and Srebro 2016): gaps of the error rates between the groups.

The two gaps are those of Jin et al. 2024, section 3.1, with absolute values.
"""

from __future__ import annotations

import numpy as np

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.group_rates import Floats, equalised_odds_gaps, gap


def _largest(counts: GroupCounts) -> Floats:
    eo_n, eo_p = equalised_odds_gaps(counts)
    return np.maximum(abs(eo_n), abs(eo_p))


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
    in_tables=False,
    from_counts=gap,
)
MAXIMUM = Metric(
    name="eodds_max",
    heading="EO max",
    latex=r"$EO_{max}$",
    summary="max(eo_n, eo_p)",
    in_tables=False,
    from_counts=_largest,
)
