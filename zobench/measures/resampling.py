"""Metrics, recovery and FPQ of a run's edits, on the test patients and on resamples of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric, Predictions

from .edit_score import EditScore
from .group_rates import accuracy, count_groups, gap
from .patient_bootstrap import ScoredImages, bootstrap_weights
from .recovery import FPQ, RECOVERY, fairness_per_query, recovery

Floats = NDArray[np.float64]


class Resamples:
    """Metrics, recovery and FPQ of a run, on its test patients (column 0) and R resamples.

    Runs with equal test images, seed and R get equal resamples, so their differences are paired.
    A metric is computed at its first use; metrics computed from scores take most of the time.

    Attributes:
        queries: Query counts, ``(S + 1,)``: 0 for ERM, then one for each snapshot.
        gap: ``(S + 1, R + 1)``, the mean of ``|eo_n|`` and ``|eo_p|``, in percent.
        accuracy: ``(S + 1, R + 1)``, in percent.
        recovery: ``(S + 1, R + 1)``.
        fpq: ``(R + 1,)``.
    """

    def __init__(
        self,
        scores: Sequence[EditScore],
        test: ScoredImages,
        weights: Callable[[], Floats],
        fpq: Callable[[Floats], Floats],
        tolerance: float,
    ) -> None:
        """Counts the groups and computes gap, accuracy, recovery and FPQ.

        Args:
            scores: ERM, then the snapshots by increasing queries.
            test: Labels of the test images.
            weights: Makes the bootstrap weights ``(R + 1, n)``.
            fpq: Computes FPQ ``(R + 1,)`` from recoveries of the snapshots ``(S, R + 1)``.
            tolerance: See :func:`resample`.
        """
        self._weights = weights
        self._answers = [
            Predictions(np.asarray(each.score), test.label, test.sensitive) for each in scores
        ]
        self._counts = count_groups(self._answers, weights())
        self._metrics: dict[str, Floats] = {}
        self.queries = tuple(each.queries for each in scores)
        self.gap = np.stack([gap(each) for each in self._counts])
        self.accuracy = np.stack([accuracy(each) for each in self._counts])
        self.recovery = recovery(self.gap[0], self.gap, self.accuracy[0], self.accuracy, tolerance)
        self.fpq = np.broadcast_to(fpq(self.recovery[1:]), self.gap.shape[1:])

    def of(self, metric: Metric) -> Floats:
        """Values of a metric ``(S + 1, R + 1)``; a signed metric keeps its sign, a=1 minus a=0."""
        if metric.name not in self._metrics:
            if metric.from_counts is not None:
                rows = [metric.from_counts(each) for each in self._counts]
            else:
                assert metric.from_scores is not None
                weights = self._weights()
                rows = [metric.from_scores(each, weights) for each in self._answers]
            self._metrics[metric.name] = np.stack(rows)
        return self._metrics[metric.name]

    def quantity(self, quantity: Metric, row: int = -1) -> Floats:
        """Values ``(R + 1,)`` of FPQ, or of recovery or a metric for one edit, row ``row``."""
        if quantity is FPQ:
            return self.fpq
        return np.asarray((self.recovery if quantity is RECOVERY else self.of(quantity))[row])


def resample(
    scores: Sequence[EditScore],
    test: ScoredImages,
    *,
    seed: int,
    replicates: int,
    tolerance: float,
    first: int,
    budget: int,
) -> Resamples:
    """The resamples of a run: ERM and all snapshots, on the data and on resampled patients.

    Args:
        scores: ERM, then the snapshots by increasing queries.
        test: Labels of the test images.
        seed: Seed of the run.
        replicates: Bootstrap resamples; 0 for the data alone.
        tolerance: Points of accuracy that an edit may cost before its recovery counts as 0.
        first: Queries of one evaluation, where the query axis of FPQ starts.
        budget: The optimizer's budget in queries, where the query axis of FPQ ends.
    """
    queries = [each.queries for each in scores[1:]]
    return Resamples(
        scores,
        test,
        weights=lambda: bootstrap_weights(test, seed, replicates),
        fpq=lambda recoveries: fairness_per_query(queries, recoveries, first, budget),
        tolerance=tolerance,
    )
