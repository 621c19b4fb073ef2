"""The curve of a run as JSON objects."""

from __future__ import annotations

from typing import Any

from zobench.measures.edit_score import EditScore
from zobench.measures.interval import interval
from zobench.measures.recovery import GAP, RECOVERY

from .results import Results


def curve_rows(results: Results) -> list[dict[str, Any]]:
    """The points of the curve: queries, gap, accuracy, recovery, and what is known of the edit.

    ``scored`` is false for a snapshot whose gap and accuracy are interpolated; such a row has no
    objective, norm, refitted SA accuracy and fidelity.
    """
    curve = results.curve
    return [
        {
            "queries": queries,
            "scored": edit is not None,
            **_edit(edit),
            "gap": interval([curve.gap[row]], GAP).as_dict(),
            "accuracy": interval([curve.accuracy[row]]).as_dict(),
            "recovery": interval([curve.recovery[row]], RECOVERY).as_dict(),
            "gap_recovery": interval([curve.gap_recovery[row]], RECOVERY).as_dict(),
        }
        for row, (queries, edit) in enumerate(results.points)
    ]


def _edit(edit: EditScore | None) -> dict[str, Any]:
    return {
        "objective": None if edit is None else edit.objective,
        "norm": None if edit is None else edit.norm,
        "sa_refitted": None if edit is None else edit.sa_refitted,
        "psnr": None if edit is None else edit.fidelity.psnr,
        "ssim": None if edit is None else edit.fidelity.ssim,
    }


def curve_controls(results: Results) -> dict[str, list[dict[str, Any]]]:
    """With ``--controls all``: recovery of the placebo and the negative of every scored edit."""
    stored, rows = results.stored, {}
    for name, scores in stored.all_controls.items():
        resamples = results.resampled([stored.edits[0].score, *(score.score for score in scores)])
        recoveries = resamples.recoveries.recovery
        rows[name] = [
            {
                "queries": score.queries,
                "recovery": interval([recoveries[row]], RECOVERY).as_dict(),
            }
            for row, score in enumerate(scores, start=1)
        ]
    return rows
