"""Average ranks of methods over problems, with tests of whether they differ by more than chance.

Demsar 2006, "Statistical comparisons of classifiers over multiple data sets": Friedman's test, then
Nemenyi's critical difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Average ranks of methods over problems, with the results of both tests.

    Attributes:
        ranks: Average rank of each method, ``(M,)``; 1 is the best rank.
        friedman: p-value of Friedman's test of equal methods. NaN if there are fewer than three
            methods or fewer than two problems, or if all methods tie on every problem.
        critical_difference: Nemenyi's critical difference at level ``alpha``: two average ranks
            further apart than this differ significantly. Infinite for a single method.
        cliques: Largest sets of methods whose average ranks do not differ significantly, as indices
            into ``ranks``.
    """

    ranks: Floats
    friedman: float
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]


def ranking(scores: NDArray[np.floating], alpha: float = 0.05) -> Ranking:
    """Ranks the methods on each problem and averages the ranks over the problems.

    Args:
        scores: Score of each of M methods on each of P problems, ``(P, M)``; higher is better.
        alpha: Significance level of the critical difference.

    Raises:
        ValueError: A score is NaN or infinite.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(table).all():
        raise ValueError("ranking needs a finite score of every method on every problem")
    problems, methods = table.shape
    ranks = rankdata(-table, axis=1).mean(0)
    friedman = math.nan
    if methods > 2 and problems > 1 and np.ptp(table, axis=1).any():
        friedman = float(friedmanchisquare(*table.T).pvalue)
    critical = math.inf
    if methods > 1:
        q = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / math.sqrt(2)
        critical = q * math.sqrt(methods * (methods + 1) / (6 * problems))
    return Ranking(ranks, friedman, critical, _cliques(ranks, critical))


def _cliques(ranks: Floats, critical: float) -> tuple[tuple[int, ...], ...]:
    """Sets of at least two methods, adjacent in rank, that span at most the critical difference."""
    order = np.argsort(ranks, kind="stable")
    cliques: list[tuple[int, ...]] = []
    reach = 0
    for start in range(len(order)):
        stop = start
        while stop + 1 < len(order) and ranks[order[stop + 1]] - ranks[order[start]] <= critical:
            stop += 1
        if stop > start and stop + 1 > reach:
            cliques.append(tuple(int(member) for member in order[start : stop + 1]))
            reach = stop + 1
    return tuple(cliques)
