"""Statistics over many runs: runtimes, curves, ranks, differences and agreement of tasks.

The functions take numbers and arrays (a difference also takes the metric's declaration), so they
can be used without run folders. :mod:`zobench.records.stored_run` reads these numbers from run
folders.
"""

from __future__ import annotations

from zobench.measures.interval import Interval, interval

from .agreement import Agreement, agreement
from .corrections import holm
from .curves import aocc, band, staircase
from .differences import Difference, difference
from .ranks import Ranking, ranking
from .runtimes import (
    data_profile,
    ecdf,
    expected_queries,
    expected_queries_interval,
    first_success,
    simulated_runtimes,
    success_rate,
)

__all__ = [
    "Agreement",
    "Difference",
    "Interval",
    "Ranking",
    "agreement",
    "aocc",
    "band",
    "data_profile",
    "difference",
    "ecdf",
    "expected_queries",
    "expected_queries_interval",
    "first_success",
    "holm",
    "interval",
    "ranking",
    "simulated_runtimes",
    "staircase",
    "success_rate",
]
