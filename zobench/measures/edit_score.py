"""The stored results of scoring edits, before any statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zobench.problem.quantization import ArrivedEdit

from .fidelity import Fidelity


@dataclass(frozen=True)
class EditScore:
    """The result of scoring one edit.

    Attributes:
        queries: Queries spent when the optimizer recommended the edit; 0 for ERM.
        objective: L on the scored test images; lower is better for the optimizer.
        norm: ||edit||_2.
        sa_frozen: Accuracy in percent of the SA head g that was trained on clean embeddings.
        sa_refitted: Accuracy in percent of an SA head trained anew on edited images.
        score: The disease head's score of each scored test image.
        fidelity: The likeness of edited and clean test images.
        sent: How 8-bit transport changes the edit; ``None`` if the encoder takes exact floats, and
            for a zero edit such as ERM.
    """

    queries: int
    objective: float
    norm: float
    sa_frozen: float
    sa_refitted: float
    score: tuple[float, ...]
    fidelity: Fidelity
    sent: ArrivedEdit | None = None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> EditScore:
        """The score in a JSON object from the scores file of a run."""
        sent = row.get("sent")
        return cls(
            **{
                **row,
                "score": tuple(row["score"]),
                "fidelity": Fidelity(**row["fidelity"]),
                "sent": ArrivedEdit(**sent) if sent else None,
            }
        )


@dataclass(frozen=True)
class ScoredCurve:
    """Scores of ERM and of every distinct edit, on a fixed subset of the images.

    Attributes:
        train: Number of training images that the heads are fitted on.
        test: Rows of the scored test images, increasing.
        edits: ERM, then distinct edits by increasing queries; each score is ``(len(test),)``.
        training: L of these edits on the training images of the subset.
    """

    train: int
    test: tuple[int, ...]
    edits: tuple[EditScore, ...]
    training: tuple[float, ...]

    @property
    def best(self) -> int:
        """The query count of the edit with the lowest L on training images; no test image counts."""
        pairs = zip(self.training[1:], (each.queries for each in self.edits[1:]), strict=True)
        return min(pairs)[1]

    def with_score(self, score: EditScore, objective: float) -> ScoredCurve:
        """The curve with one more edit."""
        rows = [*zip(self.edits, self.training, strict=True), (score, objective)]
        rows.sort(key=lambda row: row[0].queries)
        edits, training = zip(*rows, strict=True)
        return replace(self, edits=tuple(edits), training=tuple(training))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ScoredCurve:
        """The curve in a JSON object from the scores file of a run."""
        return cls(
            values["train"],
            tuple(values["test"]),
            tuple(map(EditScore.from_json, values["edits"])),
            tuple(values["training"]),
        )
