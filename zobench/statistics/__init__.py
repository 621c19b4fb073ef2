"""Statistics of many runs: runtimes, curves, ranks and differences; usable on their own.

Functions take plain numbers and arrays; :mod:`zobench.records.stored_run` reads them from run folders.
"""

from __future__ import annotations

from zobench.measures.interval import Interval, interval

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
    "Difference",
    "Interval",
    "Ranking",
    "aocc",
    "band",
    "data_profile",
    "difference",
    "ecdf",
    "expected_queries",
    "expected_queries_interval",
    "first_success",
    "interval",
    "ranking",
    "simulated_runtimes",
    "staircase",
    "success_rate",
]
