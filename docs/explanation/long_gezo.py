"""Makes the table of GeZO at its own budget: long runs, each beside its placebo and its negative.

    python docs/explanation/long_gezo.py runs/long-gezo --jobs 2

Runs that are done are only read, interrupted ones go on; so it may be stopped at any time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import joblib

import zobench
from zobench.measures.interval import Interval
from zobench.records.score_rows import Score
from zobench.records.stored_run import StoredRun

PAPER = {"optimizer": "gezo", "budget": 640_000}
"""50 epochs of 10 iterations of 10 pairs on minibatches of 64."""
RELEASED = {"optimizer": "gezo-released", "budget": 256_000}
RUNS: list[dict[str, Any]] = [
    *({**PAPER, "disease": "edema", "seed": seed} for seed in range(3)),
    {**PAPER, "disease": "pleural_effusion", "seed": 0},
    *({**RELEASED, "disease": "edema", "seed": seed} for seed in range(3)),
]
HEADINGS = (
    "run",
    "L",
    "EO_n",
    "EO_p",
    "accuracy",
    "SA refit",
    "norm",
    "PSNR, SSIM",
    "recovery",
    "gap recovery",
)


def folder(out: Path, fields: dict[str, Any]) -> Path:
    """Where a run lies."""
    return out / f"{fields['optimizer']}-{fields['disease']}-{fields['seed']}"


def carry_out(place: Path, fields: dict[str, Any], device: str) -> None:
    """One run, unless it is done; a failure is told and stops nobody else."""
    begun = [path.parent for path in place.glob("*/manifest.json")]
    try:
        run = zobench.resume(begun[0]) if begun else zobench.run(out=place, device=device, **fields)
        print(place, run.status, f"{run.wall_seconds:.0f} s", file=sys.stderr, flush=True)
    except zobench.Interrupted:
        raise
    except zobench.ZobenchError as error:
        print(place, error, file=sys.stderr, flush=True)


def lines(run: StoredRun) -> list[list[str]]:
    """ERM, the edit, its placebo and its negative; then the difference of edit and placebo."""
    results = run.results
    assert results is not None
    name = f"{run.config.optimizer}, {run.config.disease}, seed {run.config.seed}"
    rows = [(f"{name}: ERM", results.scores[0]), ("edit", results.scores[-1])]
    rows += list(results.controls.items())
    table = [[words, *cells(score)] for words, score in rows]
    if results.beyond_placebo is not None:
        table.append(["beyond placebo", *[""] * 7, shown(results.beyond_placebo, 2), ""])
    return table


def cells(score: Score) -> list[str]:
    """One row of the table."""
    metrics = [shown(score.metrics[name], 1) for name in ("eo_n", "eo_p", "accuracy")]
    fidelity, zero = score.fidelity, score.queries == 0
    likeness = "" if fidelity.psnr is None else f"{fidelity.psnr:.1f} dB, {fidelity.ssim:.2f}"
    why = f" ({score.why_zero})" if score.why_zero and not zero else ""
    return [
        f"{score.objective:.2f}".replace("-", "\N{MINUS SIGN}"),
        *metrics,
        f"{score.sa_refitted:.1f}",
        f"{score.norm:.1f}",
        likeness,
        "" if zero else shown(score.recovery, 2) + why,
        "" if zero else shown(score.gap_recovery, 2),
    ]


def shown(interval: Interval, digits: int) -> str:
    """A number with its interval."""
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (
        f"{round(end, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}") for end in ends
    )
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Runs what is missing, then prints what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--read-only", action="store_true", help="show what is done, run nothing")
    wanted = parser.parse_args()
    if not wanted.read_only:
        joblib.Parallel(n_jobs=wanted.jobs)(
            joblib.delayed(carry_out)(folder(wanted.out, fields), fields, wanted.device)
            for fields in RUNS
        )
    print(f"| {' | '.join(HEADINGS)} |\n{'| --- ' * len(HEADINGS)}|")
    for fields in RUNS:
        for path in folder(wanted.out, fields).glob("*/manifest.json"):
            run = zobench.show(path.parent)
            if run.status == "done":
                for row in lines(run):
                    print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
