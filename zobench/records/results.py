"""The results of a run: every stored score with its statistics, computed on first access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig
from zobench.contracts.metric import Metric
from zobench.measures.curve import interpolated, positions
from zobench.measures.edit_score import EditScore
from zobench.measures.interval import Interval, interval
from zobench.measures.patient_bootstrap import bootstrap_weights
from zobench.measures.recovery import (
    BEYOND_PLACEBO,
    FPQ,
    RECOVERY,
    Recoveries,
    fairness_per_query,
)
from zobench.measures.resampling import Resamples

from .score_rows import ClassifierScore, GroupError, Score, lost_points
from .stored_numbers import StoredScores

Floats = NDArray[np.float64]


class Results:
    """Statistics of a run's stored scores.

    Attributes:
        stored: The stored scores.
        config: The config of the run.
        metrics: The metrics to show.
        replicates: Number of bootstrap resamples of the patients.
        times: How often as many edits are scored as the config says.
    """

    def __init__(
        self,
        stored: StoredScores,
        config: RunConfig,
        metrics: Sequence[Metric],
        replicates: int | None = None,
        times: int = 1,
    ) -> None:
        """Computes nothing yet.

        Args:
            stored: The stored scores.
            config: The config of the run.
            metrics: The metrics to show.
            replicates: Number of resamples; as the config says if ``None``.
            times: How often as many edits are scored as the config says; once more with each
                extension.
        """
        self.stored, self.config, self.metrics, self.times = stored, config, metrics, times
        self.replicates = config.replicates if replicates is None else replicates

    @cached_property
    def for_means(self) -> Results:
        """The same with absolute gaps in the resamples, for a mean over seeds."""
        other = Results(self.stored, self.config, self.metrics, self.replicates, self.times)
        vars(other)["resamples"] = self.resamples.for_means()  # in place of the cached property
        return other

    @cached_property
    def edits(self) -> list[EditScore]:
        """The scored edits: ERM first, the last snapshot's edit last.

        A snapshot whose edit equals an earlier one's, or the zero edit, is not listed again; but the
        last row has the query count of the last snapshot.
        """
        ordered, equal = self._ordered, self.stored.equal
        if not equal or ordered[-1].queries != equal[max(equal)]:
            return ordered
        return [*ordered[:-1], replace(ordered[-1], queries=max(equal))]

    @cached_property
    def _ordered(self) -> list[EditScore]:
        """The stored edits: ERM first, and the last snapshot's edit last if it is scored."""
        edits, equal = list(self.stored.edits), self.stored.equal
        if not equal:
            return edits
        first = equal[max(equal)]
        last = [edit for edit in edits if edit.queries == first]
        return [*(edit for edit in edits if edit.queries != first or not first), *last]

    @cached_property
    def resamples(self) -> Resamples:
        """All predictions of all test images, in the order of :attr:`_rows`."""
        scores = [edit.score for edit in self.edits]
        scores += [control.score for control in self.stored.controls.values()]
        scores += list(self.stored.baselines.values())
        scores += [] if self.stored.combined is None else [self.stored.combined]
        return self.resampled(scores)

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Row numbers in :attr:`resamples` of controls, baselines and the combined method."""
        names = [f"control {name}" for name in self.stored.controls]
        names += [f"baseline {name}" for name in self.stored.baselines]
        names += ["combined"]
        return {name: len(self.edits) + number for number, name in enumerate(names)}

    @cached_property
    def _points(self) -> list[tuple[int, int | None]]:
        """The curve: queries and row of ERM and of each snapshot.

        The row is ``None`` for a snapshot that is not scored. Until enough edits are scored, the
        curve ends before the first such snapshot.
        """
        rows = {edit.queries: row for row, edit in enumerate(self._ordered)}
        equal = self.stored.equal
        points = [
            (0, rows.get(0)),
            *((queries, rows.get(equal[queries])) for queries in sorted(equal)),
        ]
        enough = min(self.times * self.config.scored, len({*equal.values()} - {0}))
        if len(rows) > enough:
            return points
        return list(takewhile(lambda point: point[1] is not None, points))

    @property
    def queries(self) -> tuple[int, ...]:
        """Query counts of the curve's snapshots."""
        return tuple(queries for queries, _ in self._points[1:])

    @property
    def points(self) -> list[tuple[int, EditScore | None]]:
        """The curve: queries and score of ERM and of each snapshot; ``None`` if not scored."""
        return [(at, None if row is None else self._ordered[row]) for at, row in self._points]

    @cached_property
    def curve(self) -> Recoveries:
        """The values of the curve, one row for ERM and one per snapshot."""
        places = positions([queries for queries, _ in self._points], self.config.batch_size)
        scored, rows = self.resamples.recoveries, [row for _, row in self._points]
        gaps, accuracies = (
            interpolated(places, [None if row is None else values[row] for row in rows])
            for values in (scored.gap, scored.accuracy)
        )
        return Recoveries.of(gaps, accuracies, self.config.tolerance)

    def resampled(self, scores: Sequence[Sequence[float]]) -> Resamples:
        """Predictions of all test images, ERM's first, on this run's resamples of the patients."""
        test, seed, replicates = self.stored.test, self.config.seed, self.replicates
        return Resamples(
            scores,
            test,
            lambda: bootstrap_weights(test, seed, replicates),
            self.config.tolerance,
        )

    @cached_property
    def fpq(self) -> Floats:
        """Fairness per query ``(R + 1,)`` of the curve."""
        config = self.config
        area = fairness_per_query(
            list(self.queries), self.curve.recovery[1:], config.batch_size, config.budget
        )
        return np.broadcast_to(area, self.curve.gap.shape[1:])

    def values(self, quantity: Metric, row: int = -1) -> Floats:
        """Signed values ``(R + 1,)`` of a quantity: the test data first, then the resamples.

        Args:
            quantity: Fairness per query, beyond placebo, recovery or a metric.
            row: Row of the table: 0 is ERM, -1 the last scored edit.

        Raises:
            ValueError: ``quantity`` is beyond placebo, and no placebo is scored.
        """
        if quantity is FPQ:
            return self.fpq
        if quantity is BEYOND_PLACEBO:
            values = self.beyond_placebo_values
            if values is None:
                raise ValueError("no placebo is scored")
            return values
        return self.resamples.quantity(quantity, row % len(self.edits))

    def baseline_values(self, name: str, quantity: Metric) -> Floats:
        """Signed values ``(R + 1,)`` of a no-query baseline.

        A baseline needs no query, so its recovery is there from the first query on: its fairness
        per query is its recovery.
        """
        quantity = RECOVERY if quantity is FPQ else quantity
        return self.resamples.quantity(quantity, self._rows[f"baseline {name}"])

    def baseline_point(self, name: str) -> tuple[float, float]:
        """Gap and accuracy of a no-query baseline on the test data, in percent."""
        return self.point(self._rows[f"baseline {name}"])

    @property
    def placebo_point(self) -> tuple[float, float]:
        """Gap and accuracy of the last edit's placebo on the test data, in percent."""
        return self.point(self._rows["control placebo"])

    def point(self, row: int) -> tuple[float, float]:
        """Gap and accuracy of a row of the table on the test data, in percent."""
        recoveries = self.resamples.recoveries
        return float(recoveries.gap[row, 0]), float(recoveries.accuracy[row, 0])

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """The rows of the table: ERM first, the last edit last."""
        return tuple(self._score(edit, row) for row, edit in enumerate(self.edits))

    @cached_property
    def controls(self) -> dict[str, Score]:
        """Placebo and negative of the last edit, where they are scored."""
        snapshot = self.edits[-1].queries
        return {
            name: replace(self._score(edit, self._rows[f"control {name}"]), queries=snapshot)
            for name, edit in self.stored.controls.items()
        }

    @cached_property
    def beyond_placebo(self) -> Interval | None:
        """Recovery of the last edit minus that of its placebo, paired; ``None`` without placebo."""
        values = self.beyond_placebo_values
        return None if values is None else interval([values])

    @property
    def beyond_placebo_values(self) -> Floats | None:
        """The difference ``(R + 1,)`` on the test data and on the resamples.

        If the last snapshot is the zero edit, which has no placebo, the difference is 0.
        """
        row, recoveries = self._rows.get("control placebo"), self.resamples.recoveries.recovery
        if row is not None:
            return np.asarray(recoveries[len(self.edits) - 1] - recoveries[row])
        equal = self.stored.equal
        nothing = bool(equal) and not equal[max(equal)] and self.config.controls != "none"
        return np.zeros_like(recoveries[0]) if nothing else None

    @cached_property
    def baselines(self) -> dict[str, ClassifierScore]:
        """The no-query baselines by name."""
        return {
            name: self._outcome(0, self._rows[f"baseline {name}"]) for name in self.stored.baselines
        }

    @cached_property
    def combined(self) -> ClassifierScore | None:
        """The last edit together with reweighing; ``None`` if it is not scored."""
        if self.stored.combined is None:
            return None
        return self._outcome(self.edits[-1].queries, self._rows["combined"])

    def group_errors(self, row: str) -> list[GroupError]:
        """How often a classifier is wrong in each cell of (disease, group).

        Args:
            row: ``erm``, ``edit`` for the last edit, or the name of a no-query baseline.
        """
        places = {"erm": 0, "edit": len(self.edits) - 1}
        place = places[row] if row in places else self._rows[f"baseline {row}"]
        rate = self.resamples.counts(place).rate
        wrong = {1: 1.0 - rate[:, 1], 0: rate[:, 0]}  # missed, and false alarms
        return [
            GroupError(y, a, interval([100.0 * wrong[y][:, a]])) for y in (1, 0) for a in (0, 1)
        ]

    def _score(self, edit: EditScore, row: int) -> Score:
        outcome = self._outcome(edit.queries, row)
        return Score(
            **vars(outcome),
            objective=edit.objective,
            norm=edit.norm,
            sa_frozen=edit.sa_frozen,
            sa_refitted=edit.sa_refitted,
            fidelity=edit.fidelity,
            sent=edit.sent,
        )

    def _outcome(self, queries: int, row: int) -> ClassifierScore:
        samples, recoveries = self.resamples, self.resamples.recoveries
        recovered = interval([recoveries.recovery[row]], RECOVERY)
        change = interval([recoveries.accuracy[row] - recoveries.accuracy[0]])
        return ClassifierScore(
            queries=queries,
            metrics={
                metric.name: interval([samples.of(metric, row)], metric) for metric in self.metrics
            },
            recovery=recovered,
            gap_recovery=interval([recoveries.gap_recovery[row]], RECOVERY),
            accuracy_change=change,
            why_zero=self._why_zero(row, change.value) if recovered.value == 0 else "",
        )

    def _why_zero(self, row: int, change: float) -> str:
        recoveries = self.resamples.recoveries
        if row == 0:
            return "ERM is the reference"
        if recoveries.gap[0, 0] == 0:
            return "ERM has no gap"
        if recoveries.gap_recovery[row, 0] == 0:
            return "the gap is as large as ERM's"
        return f"accuracy fell by {lost_points(-change, self.config.tolerance)}"
