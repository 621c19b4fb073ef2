"""Metrics and recovery of a run's predictions, on the test patients and on resamples of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import GroupCounts, Metric, Predictions

from .group_rates import count_groups
from .patient_bootstrap import ScoredImages
from .recovery import RECOVERY, Recoveries

Floats = NDArray[np.float64]


class Resamples:
    """Metrics and recovery of several predictions, on their test patients (column 0) and R resamples.

    Runs with equal test images, seed and R get equal resamples, so their differences are paired.
    A metric of a row is computed at its first use; metrics computed from scores take most of the time.

    Attributes:
        recoveries: Gap, accuracy and recovery of each prediction; the gaps keep the signs that they
            have on the data.
    """

    def __init__(
        self,
        scores: Sequence[Sequence[float]],
        test: ScoredImages,
        weights: Callable[[], Floats],
        tolerance: float,
    ) -> None:
        """Counts the groups and computes gap, accuracy and recovery.

        Args:
            scores: Scores ``(n,)`` of the test images: ERM's first, then those of S - 1 others.
            test: Labels of the test images.
            weights: Makes the bootstrap weights ``(R + 1, n)``.
            tolerance: Points of accuracy that may be lost before a recovery counts as 0.
        """
        self._weights = weights
        self._answers = [
            Predictions(np.asarray(score, dtype=np.float64), test.label, test.sensitive)
            for score in scores
        ]
        self._counts = count_groups(self._answers, weights())
        self._metrics: dict[tuple[str, int], Floats] = {}
        self._in_means: dict[tuple[str, int], Floats] | None = None
        self._tolerance = tolerance
        self.recoveries = Recoveries.of_counts(self._counts, tolerance)

    def for_means(self) -> Resamples:
        """The same with absolute gaps in recoveries and metrics, for a mean over seeds."""
        other = copy(self)
        other._in_means = {}
        other.recoveries = Recoveries.of_counts(self._counts, self._tolerance, absolute=True)
        return other

    def of(self, metric: Metric, row: int) -> Floats:
        """Values ``(R + 1,)`` of a metric for one row; a signed metric keeps its sign, a=1 minus a=0."""
        row = range(len(self._answers))[row]
        apart = None if metric.from_counts_in_means is None else self._in_means
        cache, in_means = (self._metrics, False) if apart is None else (apart, True)
        if (metric.name, row) not in cache:
            if metric.from_counts is not None:
                values = metric.of_counts(self._counts[row], in_means=in_means)
            else:
                values = metric.of_scores(self._answers[row], self._weights())
            cache[metric.name, row] = values
        return cache[metric.name, row]

    def counts(self, row: int) -> GroupCounts:
        """The counts in the cells of (y, a) of one row."""
        return self._counts[row]

    def quantity(self, quantity: Metric, row: int = -1) -> Floats:
        """Values ``(R + 1,)`` of recovery or of a metric for one row."""
        if quantity is RECOVERY:
            return np.asarray(self.recoveries.recovery[row])
        return self.of(quantity, row)
