"""The curve of a run over its snapshots, of which only some are scored.

To score an edit costs thousands of images. So the snapshots to score are chosen one after the
other, where the curve is known least: first the last snapshot, then always the snapshot in the
middle between two scored neighbours, namely those between which recovery changes most over the
widest range of queries. This is the rule of adaptive quadrature: halve the piece that may hold the
largest error. Gap and accuracy of a snapshot that is not scored lie on the straight line between
its scored neighbours, so its recovery, whatever the accuracy, lies between theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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


def next_to_score(places: Floats, recoveries: Sequence[tuple[float, float] | None]) -> int | None:
    """The number of the snapshot to score next; ``None`` if all are scored.

    Args:
        places: The positions of ERM and of the snapshots, increasing.
        recoveries: Recovery with and without the tolerance of ERM and of each snapshot; ``None``
            for a snapshot that is not scored.
    """
    if recoveries[-1] is None:
        return len(recoveries) - 1
    scored = [(number, pair) for number, pair in enumerate(recoveries) if pair is not None]
    pieces = [
        ((_change(left, right) + LEAST_CHANGE) * (places[high] - places[low]), low, high)
        for (low, left), (high, right) in pairwise(scored)
        if high - low > 1
    ]
    if not pieces:
        return None
    _, low, high = max(pieces, key=lambda piece: piece[0])
    middle = (places[low] + places[high]) / 2
    return min(range(low + 1, high), key=lambda number: abs(places[number] - middle))


def _change(left: tuple[float, float], right: tuple[float, float]) -> float:
    return max(abs(after - before) for before, after in zip(left, right, strict=True))


def interpolated(places: Floats, rows: Sequence[Floats | None]) -> Floats:
    """Values ``(S, R)`` of all points: those that are given, and others on lines between them.

    Args:
        places: The positions ``(S,)`` of the points, increasing.
        rows: The values ``(R,)`` of each point; ``None`` where they are not known. The values of
            the first and of the last point are known.
    """
    given = [(number, row) for number, row in enumerate(rows) if row is not None]
    points = [given[0][1]]
    for (low, left), (high, right) in pairwise(given):
        for number in range(low + 1, high):
            share = (places[number] - places[low]) / (places[high] - places[low])
            points.append(left + share * (right - left))  # exact where both ends are equal
        points.append(right)
    return np.stack(points)
