"""Scores of a small test set whose gaps and accuracies are known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from zobench.config import RunConfig
from zobench.measures.edit_score import EditScore
from zobench.measures.fidelity import Fidelity
from zobench.measures.patient_bootstrap import ScoredImages
from zobench.records.results import Results
from zobench.records.stored_numbers import StoredScores

CELL = 50
LABEL, SENSITIVE = np.repeat([0, 0, 1, 1], CELL), np.tile(np.repeat([0, 1], CELL), 2)
TEST = ScoredImages(np.arange(4 * CELL), LABEL, SENSITIVE)


def called(*shares: float) -> tuple[float, ...]:
    """Scores that predict the disease for a share of each cell (y, a) = 00, 01, 10, 11."""
    ones = [np.arange(CELL) < round(share * CELL) for share in shares]
    return tuple(np.where(np.concatenate(ones), 1.0, -1.0).tolist())


def scored(queries: int, norm: float, *shares: float) -> EditScore:
    return EditScore(
        queries, -0.1 * queries, norm, 50.0, 50.0, called(*shares), Fidelity(30.0, 0.9)
    )


ERM = scored(0, 0.0, 0.1, 0.5, 0.5, 0.9)  # gap 40, accuracy 70
HALF = scored(100, 1.0, 0.2, 0.4, 0.6, 0.8)  # gap 20, accuracy 70
FAIR = scored(1000, 2.0, 0.3, 0.3, 0.7, 0.7)  # gap 0, accuracy 70
COSTLY = scored(1000, 2.0, 0.4, 0.4, 0.6, 0.6)  # gap 0, accuracy 60
PLACEBO = scored(1000, 2.0, 0.1, 0.42, 0.58, 0.9)  # gap 32, accuracy 74


def results(*edits: EditScore, tolerance: float = 1.0, scored: int = 5, **fields: Any) -> Results:
    equal = {each.queries: each.queries for each in edits}
    given = {"edits": [ERM, *edits], "equal": equal, "test": TEST, "counts": {}, **fields}
    stored = StoredScores(encoder_seconds=0.0, **given)
    config = RunConfig(
        budget=1000, batch_size=10, tolerance=tolerance, replicates=300, scored=scored
    )
    return Results(stored, config, ())
