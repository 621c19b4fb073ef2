"""The curve of a run over its snapshots, of which only some are scored.

To score an edit costs thousands of images. So the snapshots to score are chosen one after the
other, where the curve is known least: first the last snapshot, then always the middle one of the
scored neighbours between which recovery changes most over the widest range of log queries. This is
the rule of adaptive quadrature: halve the piece that may hold the largest error. The rates of a
snapshot that is not scored lie on the straight line between its scored neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import GroupCounts

Floats = NDArray[np.float64]

LEAST_CHANGE = 0.1
"""Added to each change of recovery: a wide piece is halved even if its ends are alike."""


def positions(queries: Sequence[int], first: int) -> Floats:
    """Positions ``log(q + first)`` of query counts on the curve, where ERM has 0 queries.

    Args:
        queries: Query counts ``(S,)``.
        first: Queries of one evaluation.
    """
    return np.log(np.asarray(queries, dtype=np.float64) + first)


def next_to_score(places: Floats, recoveries: Sequence[float | None]) -> int | None:
    """The number of the snapshot to score next; ``None`` if all are scored.

    Args:
        places: The positions of ERM and of the snapshots, increasing.
        recoveries: Their recoveries, ERM's first; ``None`` for a snapshot that is not scored.
    """
    if recoveries[-1] is None:
        return len(recoveries) - 1
    scored = [(number, each) for number, each in enumerate(recoveries) if each is not None]
    pieces = [
        ((abs(right - left) + LEAST_CHANGE) * (places[high] - places[low]), low, high)
        for (low, left), (high, right) in pairwise(scored)
        if high - low > 1
    ]
    if not pieces:
        return None
    _, low, high = max(pieces, key=lambda piece: piece[0])
    middle = (places[low] + places[high]) / 2
    return min(range(low + 1, high), key=lambda number: abs(places[number] - middle))


def interpolated(places: Floats, counts: Sequence[GroupCounts | None]) -> list[GroupCounts]:
    """Group counts of all points: those that are given, and others on lines between them.

    Args:
        places: The positions of the points, increasing.
        counts: The group counts, ``None`` where they are not known; the first and the last are.
    """
    known = [(number, each) for number, each in enumerate(counts) if each is not None]
    points = [known[0][1]]
    for (low, left), (high, right) in pairwise(known):
        for number in range(low + 1, high):
            share = (places[number] - places[low]) / (places[high] - places[low])
            called = (1 - share) * left.called + share * right.called
            points.append(GroupCounts(left.images, called))
        points.append(right)
    return points
