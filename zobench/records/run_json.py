"""A stored run as a JSON object, for ``--json`` and trackers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .curve_json import curve_controls, curve_rows

if TYPE_CHECKING:
    from .results import Results
    from .stored_run import StoredRun


def as_json(run: StoredRun) -> dict[str, Any]:
    """The run as a JSON object; an infinite ratio is ``None``."""
    return {
        "run_id": run.run_id,
        "run_dir": str(run.location),
        "status": run.status,
        "error": run.manifest.error,
        "ended_by": run.manifest.ended_by,
        "extended": list(run.manifest.extended),
        "config": run.config.as_dict(),
        "ledger": run.ledger,
        "feedback": run.manifest.feedback,
        "objective_name": run.config.objective,
        "verdict": run.verdict.as_dict(),
        "scores": [score.as_dict() for score in run.scores],
        **_rows_and_curve(run.results, run.config.controls),
        "recovery": run.recovery,
        "fpq": run.fpq.as_dict() if run.fpq is not None else None,
        "bill": run.bill.as_dict() if run.bill is not None else None,
        "wall_seconds": run.wall_seconds,
        "encoder_seconds": run.encoder_seconds,
    }


def _rows_and_curve(results: Results | None, scored_controls: str) -> dict[str, Any]:
    """Baselines, controls, the last edit with reweighing, and the curve."""
    if results is None:
        return {"baselines": {}, "controls": {}, "with_reweighing": None, "curve": []}
    beyond = results.beyond_placebo
    controls: dict[str, Any] = {name: row.as_dict() for name, row in results.controls.items()}
    if beyond is not None:
        controls["beyond_placebo"] = beyond.as_dict()
    if scored_controls == "all":
        controls["curve"] = curve_controls(results)
    return {
        "baselines": {
            name: {**row.as_dict(), "fpq": row.recovery.as_dict()}
            for name, row in results.baselines.items()
        },
        "controls": controls,
        "with_reweighing": None if results.combined is None else results.combined.as_dict(),
        "curve": curve_rows(results),
    }
