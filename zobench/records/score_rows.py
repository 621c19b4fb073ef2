"""Rows of a run's tables: what a classifier, or an edit, achieves on the test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zobench.measures.fidelity import Fidelity
from zobench.measures.interval import Interval
from zobench.problem.quantization import ArrivedEdit


def lost_points(loss: float, tolerance: float) -> str:
    """A loss of accuracy and the tolerance that it passes, with the digits that show it.

    Args:
        loss: Points of accuracy, more than ``tolerance``.
        tolerance: Points of accuracy that may be lost.
    """
    digits = next(count for count in range(1, 17) if round(loss, count) > tolerance or count == 16)
    return f"{loss:.{digits}f} points, more than the tolerance of {tolerance:g}"


@dataclass(frozen=True)
class GroupError:
    """How often a classifier is wrong for patients of one group, with or without the finding.

    Attributes:
        label: 1 with the finding, where an error is a missed one; 0 without, a false alarm.
        group: The group, 0 or 1.
        rate: Percent of these images, with its 95 % interval.
    """

    label: int
    group: int
    rate: Interval


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

    @property
    def accuracy_lost(self) -> bool:
        """Whether the recovery counts as 0 because accuracy fell by more than the tolerance."""
        return self.recovery.value == 0 and self.gap_recovery.value != 0

    def as_dict(self) -> dict[str, Any]:
        """The outcome as a JSON object; an infinite ratio is ``None``."""
        return {
            "queries": self.queries,
            **{name: value.as_dict() for name, value in self.metrics.items()},
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
