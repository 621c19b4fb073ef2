"""The stored result of scoring one edit, before any statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zobench.problem.quantization import ArrivedEdit

from .fidelity import Fidelity


@dataclass(frozen=True)
class EditScore:
    """The result of scoring one edit.

    Attributes:
        queries: Queries spent when the optimizer recommended the edit; 0 for ERM.
        objective: L on all test images; lower is better for the optimizer.
        norm: ||edit||_2.
        sa_frozen: Accuracy in percent of the SA head g that was trained on clean embeddings.
        sa_refitted: Accuracy in percent of an SA head trained anew on edited images.
        score: The disease head's score of each test image.
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

    def as_json(self) -> dict[str, Any]:
        """The score as a JSON object, which :meth:`from_json` reads."""
        sent = None if self.sent is None else asdict(self.sent)
        return {**vars(self), "fidelity": asdict(self.fidelity), "sent": sent}

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
