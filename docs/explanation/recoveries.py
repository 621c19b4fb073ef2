"""Recovery after given numbers of queries, by optimizer, encoder and finding, over a suite's seeds.

    zobench suite docs/explanation/probes.toml --out runs/probes --jobs 2
    python docs/explanation/recoveries.py runs/probes

Runs that are not done are left out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import zobench
from zobench.measures.interval import Interval, interval
from zobench.measures.recovery import FPQ
from zobench.records.stored_run import StoredRun

AT = (64, 160, 640, 3200, 12_800)
"""Query counts of the columns."""

Floats = np.ndarray


def recovery_at(run: StoredRun, queries: int) -> Floats:
    """Recovery ``(R + 1,)`` of the edit recommended at or before a number of queries."""
    assert run.results is not None
    results = run.results.for_means
    before = np.searchsorted([0, *results.queries], queries, side="right") - 1
    return np.asarray(results.curve.recovery[before])


def columns(run: StoredRun, at: Sequence[int]) -> Floats:
    """The columns of one run, ``(C, R + 1)``: recoveries, FPQ, beyond placebo (NaN without one)."""
    assert run.results is not None
    rows = [recovery_at(run, queries) for queries in at]
    beyond = run.results.for_means.beyond_placebo_values
    return np.stack(
        [*rows, run.values(FPQ), np.full_like(rows[0], np.nan) if beyond is None else beyond]
    )


def shown(seeds: Sequence[Floats]) -> str:
    """One cell: the mean over seeds with its interval; nothing where a number is missing."""
    return "" if np.isnan(seeds).any() else bounded(interval(seeds))


def bounded(estimate: Interval) -> str:
    """A number with its interval, for a table."""
    texts = (
        f"{round(number, 2) + 0.0:.2f}" for number in (estimate.value, estimate.low, estimate.high)
    )
    return "{} [{}, {}]".format(*texts).replace("-", "\N{MINUS SIGN}")


def main() -> None:
    """Prints a table, one row for each optimizer and finding, and their means over findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--at", type=int, nargs="+", default=AT)
    wanted = parser.parse_args()
    runs = [zobench.show(path.parent) for path in sorted(wanted.runs.glob("*/manifest.json"))]
    by_row: dict[tuple[str, str], dict[int, Floats]] = defaultdict(dict)
    done = [run for run in runs if run.done]
    if not done:
        raise SystemExit(f"{wanted.runs} has no runs that are done; run the suite first")
    several = len({run.config.encoder for run in done}) > 1
    for run in done:
        label = f"`{run.label}` ({run.feedback})"
        label += f" on `{run.config.encoder}`" if several else ""
        by_row[label, run.config.disease][run.config.seed] = columns(run, wanted.at)
    print(
        "| optimizer | finding | seeds |",
        *(f"{at:,} |" for at in wanted.at),
        "FPQ | beyond placebo |",
    )
    print("| --- " * (5 + len(wanted.at)) + "|")
    for label in dict.fromkeys(label for label, _ in by_row):
        tables = {disease: by_seed for (name, disease), by_seed in by_row.items() if name == label}
        seeds = sorted(set.intersection(*(set(table) for table in tables.values())))
        for disease, by_seed in tables.items():
            _print_row(label, disease, list(by_seed.values()))
        if len(tables) > 1 and seeds:
            means = [np.mean([table[seed] for table in tables.values()], 0) for seed in seeds]
            _print_row(label, "**mean**", means)


def _print_row(label: str, finding: str, seeds: list[Floats]) -> None:
    cells = [shown([seed[column] for seed in seeds]) for column in range(len(seeds[0]))]
    print(f"| {label} | {finding} | {len(seeds)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
