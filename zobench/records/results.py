"""The results of a run: every stored score with its statistics, computed on first access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig
from zobench.contracts.metric import Metric
from zobench.measures.edit_score import EditScore
from zobench.measures.fidelity import Fidelity
from zobench.measures.interval import Interval, interval
from zobench.measures.patient_bootstrap import bootstrap_weights
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY, fairness_per_query
from zobench.measures.resampling import Resamples
from zobench.problem.quantization import ArrivedEdit

from .run_folder import StoredScores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifierScore:
    """What a classifier achieves on the test images, with 95 % intervals.

    Attributes:
        queries: Queries spent for it beyond setup; 0 for ERM and the no-query baselines.
        metrics: Every metric by name.
        recovery: Share of ERM's gap that is gone; 0 where accuracy falls by more than the tolerance.
        gap_recovery: Share of ERM's gap that is gone, whatever the accuracy.
        accuracy_change: Accuracy minus that of ERM, in points.
        why_zero: Why the recovery is 0; empty where it is not.
    """

    queries: int
    metrics: Mapping[str, Interval]
    recovery: Interval
    gap_recovery: Interval
    accuracy_change: Interval
    why_zero: str

    def as_dict(self) -> dict[str, Any]:
        """The outcome as a JSON object; an infinite ratio is ``None``."""
        return {
            "queries": self.queries,
            **{name: found.as_dict() for name, found in self.metrics.items()},
            "recovery": self.recovery.as_dict(),
            "gap_recovery": self.gap_recovery.as_dict(),
            "accuracy_change": self.accuracy_change.as_dict(),
            "why_zero": self.why_zero,
        }


@dataclass(frozen=True)
class Score(ClassifierScore):
    """The outcome of one edit: a row of a run's table.

    Attributes:
        objective: L on the test images.
        norm: ||edit||_2.
        sa_frozen: Accuracy in percent of the SA head that was trained on clean embeddings.
        sa_refitted: Accuracy in percent of an SA head trained anew on edited images.
        fidelity: The likeness of edited and clean test images.
        sent: The edit as it arrives through 8-bit transport; ``None`` where floats travel exactly.
    """

    objective: float
    norm: float
    sa_frozen: float
    sa_refitted: float
    fidelity: Fidelity
    sent: ArrivedEdit | None = None

    def as_dict(self) -> dict[str, Any]:
        """The row as a JSON object; an infinite ratio is ``None``."""
        return {
            "queries": self.queries,
            "objective": self.objective,
            "norm": self.norm,
            "sa_frozen": self.sa_frozen,
            "sa_refitted": self.sa_refitted,
            **asdict(self.fidelity),
            **super().as_dict(),
            **({"sent": asdict(self.sent)} if self.sent is not None else {}),
        }


@dataclass(frozen=True)
class Curve:
    """Values ``(S + 1, R + 1)`` of ERM and of S snapshots, on the data and on R resamples.

    Attributes:
        gap: Mean of ``|eo_n|`` and ``|eo_p|``, in percent.
        accuracy: Accuracy, in percent.
        recovery: Recovery, 0 where accuracy falls by more than the tolerance.
        gap_recovery: Recovery, whatever the accuracy.
    """

    gap: Floats
    accuracy: Floats
    recovery: Floats
    gap_recovery: Floats


class Results:
    """Statistics of a run's stored scores.

    Attributes:
        stored: The stored scores.
        config: The config of the run.
        metrics: The metrics to show.
        replicates: Number of bootstrap resamples of the patients.
    """

    def __init__(
        self,
        stored: StoredScores,
        config: RunConfig,
        metrics: Sequence[Metric],
        replicates: int | None = None,
    ) -> None:
        """Computes nothing yet.

        Args:
            stored: The stored scores.
            config: The config of the run.
            metrics: The metrics to show.
            replicates: Number of resamples; as the config says if ``None``.
        """
        self.stored, self.config, self.metrics = stored, config, metrics
        self.replicates = config.replicates if replicates is None else replicates

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
        last = [each for each in edits if each.queries == first]
        return [*(each for each in edits if each.queries != first or not first), *last]

    @cached_property
    def resamples(self) -> Resamples:
        """All predictions of all test images, in the order of :attr:`_rows`."""
        scores = [each.score for each in self.edits]
        scores += [each.score for each in self.stored.controls.values()]
        scores += list(self.stored.baselines.values())
        scores += [] if self.stored.combined is None else [self.stored.combined]
        return self._resampled(scores)

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Row numbers in :attr:`resamples` of controls, baselines and the combined method."""
        names = [f"control {name}" for name in self.stored.controls]
        names += [f"baseline {name}" for name in self.stored.baselines]
        names += ["combined"]
        return {name: len(self.edits) + number for number, name in enumerate(names)}

    @cached_property
    def points(self) -> list[EditScore]:
        """The curve: ERM, then every scored snapshot by increasing queries."""
        edits = self.stored.edits
        known = {each.queries: each for each in edits}
        snapshots = [(each, first) for each, first in self.stored.equal.items() if first in known]
        return [
            edits[0],
            *(replace(known[first], queries=each) for each, first in sorted(snapshots)),
        ]

    @property
    def queries(self) -> tuple[int, ...]:
        """Query counts of the curve's snapshots."""
        return tuple(each.queries for each in self.points[1:])

    @cached_property
    def curve(self) -> Curve:
        """The values of the curve, one row for ERM and one per scored snapshot."""
        known = {each.queries: row for row, each in enumerate(self._ordered)}
        equal = sorted(self.stored.equal.items())
        rows = [0, *(known[first] for _, first in equal if first in known)]
        found = self.resamples
        return Curve(
            found.gap[rows], found.accuracy[rows], found.recovery[rows], found.gap_recovery[rows]
        )

    def _resampled(self, scores: Sequence[Sequence[float]]) -> Resamples:
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
        found = fairness_per_query(
            list(self.queries), self.curve.recovery[1:], config.batch_size, config.budget
        )
        return np.broadcast_to(found, self.curve.gap.shape[1:])

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
        row = self._rows[f"baseline {name}"]
        return float(self.resamples.gap[row, 0]), float(self.resamples.accuracy[row, 0])

    @property
    def placebo_point(self) -> tuple[float, float]:
        """Gap and accuracy of the last edit's placebo on the test data, in percent."""
        row = self._rows["control placebo"]
        return float(self.resamples.gap[row, 0]), float(self.resamples.accuracy[row, 0])

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
        row, recoveries = self._rows.get("control placebo"), self.resamples.recovery
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
        found = self.resamples
        recovered = interval([found.recovery[row]], RECOVERY)
        change = interval([found.accuracy[row] - found.accuracy[0]])
        return ClassifierScore(
            queries=queries,
            metrics={each.name: interval([found.of(each)[row]], each) for each in self.metrics},
            recovery=recovered,
            gap_recovery=interval([found.gap_recovery[row]], RECOVERY),
            accuracy_change=change,
            why_zero=self._why_zero(row, change.value) if recovered.value == 0 else "",
        )

    def _why_zero(self, row: int, change: float) -> str:
        found = self.resamples
        if row == 0:
            return "ERM is the reference"
        if found.gap[0, 0] == 0:
            return "ERM has no gap"
        if found.gap_recovery[row, 0] == 0:
            return "the gap is as large as ERM's"
        return f"accuracy fell by {-change:.1f} points, more than {self.config.tolerance:g}"

    def curve_rows(self) -> list[dict[str, Any]]:
        """The points of the curve as JSON objects: queries, recovery, gap, accuracy, and more."""
        found = self.curve
        return [
            {
                "queries": edit.queries,
                "objective": edit.objective,
                "norm": edit.norm,
                "sa_refitted": edit.sa_refitted,
                **asdict(edit.fidelity),
                "gap": interval([found.gap[row]]).as_dict(),
                "accuracy": interval([found.accuracy[row]]).as_dict(),
                "recovery": interval([found.recovery[row]], RECOVERY).as_dict(),
                "gap_recovery": interval([found.gap_recovery[row]], RECOVERY).as_dict(),
            }
            for row, edit in enumerate(self.points)
        ]

    def curve_controls(self) -> dict[str, list[dict[str, Any]]]:
        """With ``--controls all``: recovery of the placebo and the negative of every distinct edit."""
        found = {}
        for name, scores in self.stored.all_controls.items():
            resamples = self._resampled([self.points[0].score, *(e.score for e in scores)])
            found[name] = [
                {
                    "queries": each.queries,
                    "recovery": interval([resamples.recovery[row]], RECOVERY).as_dict(),
                }
                for row, each in enumerate(scores, start=1)
            ]
        return found
