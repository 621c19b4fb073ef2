"""The data of the report's charts; each function makes one chart of one problem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from zobench.measures.recovery import RECOVERY
from zobench.records.runtime import has_runtime, known_until, queries_charged, queries_to
from zobench.records.stored_run import StoredRun
from zobench.statistics import band, ecdf, simulated_runtimes, staircase

from .numbers import DIGITS, Json, rounded
from .tables import baselines

POINTS = 60
BEYOND = 1.05
"""Where the curves end, in budgets, so that what is found with the last query is seen."""

SIMULATED = 1000


def curves(groups: Mapping[str, Sequence[StoredRun]]) -> Json:
    """Mean recovery of each optimizer with its 95 % band, at query counts that all lines share.

    Every count at which an edit was recommended is among them, so no step is drawn late. Of an optimizer
    with finished runs, the others are left out, as in the tables.
    """
    everyone = [run for members in groups.values() for run in members]
    first = min(run.config.batch_size for run in everyone)
    budget = max(run.config.budget for run in everyone)
    between = np.geomspace(first, max(BEYOND * budget, budget + 1), POINTS).round().astype(int)
    told = [results.queries for run in everyone if (results := run.results) is not None]
    grid = np.unique(np.concatenate([between, [budget], *told]).astype(int))
    lines = {}
    for label, members in groups.items():
        begun = [
            (run, run.results)
            for run in [run for run in members if run.done] or members
            if run.results is not None and known_until(run)
        ]
        if not begun:
            continue
        recoveries = [
            staircase(
                results.queries,
                (results if len(begun) == 1 else results.for_means).curve.recovery[1:],
                grid,
                math.inf if run.done else known_until(run),
            ).T
            for run, results in begun
        ]
        mean, low, high = band(recoveries, RECOVERY)
        lines[label] = {
            "mean": rounded(mean),
            "low": rounded(low),
            "high": rounded(high),
            "feedback": members[0].manifest.feedback,
        }
    free = {
        name: row["recovery"]["value"]
        for name, row in baselines(groups, [RECOVERY]).items()
        if row["recovery"] is not None
    }
    return {"queries": grid.tolist(), "budget": budget, "lines": lines, "baselines": free}


def runtimes(
    groups: Mapping[str, Sequence[StoredRun]], targets: Sequence[float], rng: np.random.Generator
) -> Json:
    """For each optimizer, the ECDF over all targets of runtimes with simulated restarts."""
    everyone = [run for members in groups.values() for run in members]
    first = min(run.config.batch_size for run in everyone)
    budget = max(run.config.budget for run in everyone)
    grid = np.geomspace(first, 10 * budget, POINTS)
    lines = {}
    for label, members in groups.items():
        counted = [run for run in members if has_runtime(run)]
        if not counted:
            continue
        spent = [queries_charged(run) for run in counted]
        drawn = [
            simulated_runtimes([queries_to(run, target) for run in counted], spent, SIMULATED, rng)
            for target in targets
        ]
        lines[label] = {"share": rounded(ecdf(np.concatenate(drawn), grid))}
    return {
        "queries": [round(float(queries), 1) for queries in grid],
        "budget": budget,
        "lines": lines,
    }


def tradeoff(groups: Mapping[str, Sequence[StoredRun]]) -> Json:
    """Gap and accuracy of the last edit of each finished run, and of what it is compared with.

    The gap is the mean of EO_n and EO_p. Compared with: ERM and the no-query baselines for each
    seed, and the placebo of each run.
    """
    points: dict[str, list[Json]] = {}
    erm: dict[int, Json] = {}
    free: dict[str, dict[int, Json]] = {}
    placebos: list[Json] = []
    for label, members in groups.items():
        points[label] = []
        for run in members:
            if run.done:
                points[label].append(_point(run, len(run.scores) - 1))
                erm[run.config.seed] = _point(run, 0)
                results = run.on_the_data
                assert results is not None
                for name in results.stored.baselines:
                    point = _rounded_point(*results.baseline_point(name), run.config.seed)
                    free.setdefault(name, {})[run.config.seed] = point
                if "placebo" in results.stored.controls:
                    placebos.append(
                        {**_rounded_point(*results.placebo_point, run.config.seed), "of": label}
                    )
    return {
        "points": points,
        "erm": [erm[seed] for seed in sorted(erm)],
        "baselines": {name: [by[seed] for seed in sorted(by)] for name, by in free.items()},
        "placebos": placebos,
    }


def _point(run: StoredRun, row: int) -> Json:
    results = run.on_the_data
    assert results is not None
    return _rounded_point(*results.point(row), run.config.seed)


def _rounded_point(gap: float, accuracy: float, seed: int) -> Json:
    return {"gap": round(gap, DIGITS), "accuracy": round(accuracy, DIGITS), "seed": str(seed)}
