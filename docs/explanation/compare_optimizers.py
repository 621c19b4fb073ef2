"""Makes the table and the curves of optimizers.md: every entry on every seed, at one budget.

    python docs/explanation/compare_optimizers.py runs/compare

Runs that are done are only read, interrupted ones go on; so it may be stopped at any time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from matplotlib.figure import Figure

import zobench
from zobench.config import RunConfig
from zobench.contracts.parameters import resolve
from zobench.files.row_files import read_rows
from zobench.measures.recovery import BEYOND_PLACEBO
from zobench.records.layout import TIMING
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry
from zobench.statistics import expected_queries

TARGET = 0.25
BUDGET = 12_800
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
"""Okabe and Ito's."""


@dataclass(frozen=True)
class Entry:
    """An optimizer in a space, with parameters other than its defaults."""

    optimizer: str
    space: str
    overrides: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The optimizer and what was set."""
        words = [self.optimizer, *(f"{name}={value}" for name, value in self.overrides.items())]
        return " ".join(words)

    def fields(self, seed: int) -> dict[str, Any]:
        """What ``zobench.run`` takes."""
        found = {"optimizer": self.optimizer, "space": self.space, "seed": seed, "budget": BUDGET}
        return {**found, "overrides": {"optimizer": self.overrides}}

    def folder(self, out: Path, seed: int) -> Path:
        """Where the one run of a seed lies."""
        name = f"{self.label}-{self.space}".replace(":", "_").replace(" ", "-")
        return out / name / f"seed-{seed}"


ENTRIES = [
    Entry("gezo", "pixel"),
    Entry("kalman", "pixel"),
    Entry("scattered-pairs", "pixel"),
    Entry("scattered-probes", "pixel"),
    Entry("probes", "pixel"),
    Entry("adam", "pixel"),
    Entry("adam", "pixel", {"lr": 0.0003}),
    Entry("adam-released", "pixel"),
    Entry("pgd", "pixel"),
    Entry("best-of:pgd", "pixel"),
    *(
        Entry(optimizer, "lowres:14")
        for optimizer in (
            "gezo",
            "gezo-released",
            "openai-es",
            "spsa",
            "spsa-gc",
            "zo-sgd",
            "zo-signsgd",
            "zo-adamm",
            "mezo",
            "sep-cma",
            "patch-search",
            "random",
            "nevergrad:CMA",
            "nevergrad:OnePlusOne",
        )
    ),
]
"""Those that others are compared with come first."""


@dataclass(frozen=True)
class Row:
    """One entry over its seeds."""

    entry: Entry
    results: list[StoredRun]

    @property
    def fpq(self) -> list[float]:
        """One a seed."""
        return [result.fpq.value for result in self.results if result.fpq is not None]

    @property
    def recovery(self) -> list[float]:
        """Of the last snapshot, one a seed."""
        return [result.scores[-1].recovery.value for result in self.results]

    @property
    def beyond_placebo(self) -> list[float]:
        """Recovery of the last edit minus that of its placebo, one a seed."""
        found = (result.on_the_data for result in self.results)
        return [float(each.values(BEYOND_PLACEBO)[0]) for each in found if each is not None]

    def metric(self, name: str) -> list[float]:
        """Of the last snapshot in percent, one a seed."""
        return [result.scores[-1].metrics[name].value for result in self.results]

    @property
    def expected(self) -> str:
        """ERT of the target, at the resolution of the snapshots, and how many runs reach it."""
        found = []
        for result in self.results:
            found.append(result.reached(TARGET))
        spent = [result.ledger["optimize"]["queries"] for result in self.results]
        ert = expected_queries(found, spent)
        rounded = "∞" if np.isinf(ert) else f"{round(ert, -2):,.0f}"
        return f"{rounded} ({len(found) - found.count(None)} of {len(found)})"

    @property
    def overhead(self) -> tuple[float, float]:
        """Seconds for all but the encoder, per query and as a share of the optimizing."""
        rows = [row for result in self.results for row in read_rows(result.run_dir / TIMING).rows]
        inside = sum(row["encoder_seconds"] for row in rows)
        outside = sum(row["seconds"] for row in rows) - inside
        queries = sum(result.ledger["optimize"]["queries"] for result in self.results)
        return outside / queries, outside / (outside + inside)


def carry_out(folder: Path, fields: dict[str, Any], **settings: Any) -> None:
    """One run, unless it is done; a failure is told and stops nobody else."""
    begun = [path.parent for path in folder.glob("*/manifest.json")]
    try:
        result = (
            zobench.resume(begun[0]) if begun else zobench.run(out=folder, **fields, **settings)
        )
        print(folder, result.status, file=sys.stderr, flush=True)
    except zobench.Interrupted:
        raise
    except zobench.ZobenchError as error:
        print(folder, error, file=sys.stderr, flush=True)


def found(out: Path, entry: Entry, seeds: range) -> Row | None:
    """What is done of one entry."""
    folders = [entry.folder(out, seed) for seed in seeds]
    runs = [zobench.show(m.parent) for each in folders for m in each.glob("*/manifest.json")]
    done = [run for run in runs if run.status == "done"]
    offer, _ = load_registry().find("optimizers", entry.optimizer)
    now = asdict(resolve(offer.plugin.parameters(), entry.overrides, "optimizer"))
    for run in done:
        same = run.manifest.versions["zobench"] == zobench.__version__
        if not same or run.manifest.parameters["optimizer"] != now:
            raise SystemExit(
                f"{run.run_dir} had other parameters than now; remove it and run again"
            )
    return Row(entry, done) if done else None


def table(rows: list[Row]) -> str:
    """Markdown, best FPQ first."""
    lines = [
        "| optimizer | feedback | space | seeds | FPQ | recovery | EO_n | EO_p | accuracy "
        f"| beyond placebo | ERT({TARGET}) | all but the encoder |",
        "| --- " * 12 + "|",
    ]
    for row in rows:
        per_query, share = row.overhead
        cells = [
            row.entry.label,
            row.results[0].feedback,
            row.entry.space,
            str(len(row.results)),
            spread(row.fpq, 2),
            spread(row.recovery, 2),
            *(spread(row.metric(name), 0) for name in ("eo_n", "eo_p", "accuracy")),
            spread(row.beyond_placebo, 2),
            row.expected,
            f"{per_query * 1e6:.0f} µs, {share:.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float], digits: int) -> str:
    """Mean, and the least and the largest seed in brackets."""
    rounded = (
        round(float(each), digits) + 0.0 for each in (np.mean(values), min(values), max(values))
    )
    mean, low, high = (f"{each:.{digits}f}".replace("-", "\N{MINUS SIGN}") for each in rounded)
    return f"{mean} ({low} … {high})"


def draw(rows: list[Row], path: Path) -> None:
    """Recovery over queries: the mean over seeds, the band of all seeds, a dot a snapshot."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=COLOURS)
    for row in rows:
        budget, first = row.results[0].config.budget, row.results[0].config.batch_size
        grid = np.geomspace(first, 1.3 * budget, 300)  # beyond the budget the last one is deployed
        curves = np.stack([staircase(result, grid) for result in row.results])
        (line,) = axes.plot(grid, curves.mean(0), label=f"{row.entry.label}, {row.entry.space}")
        color = line.get_color()
        axes.fill_between(grid, curves.min(0), curves.max(0), alpha=0.12, color=color, linewidth=0)
        for result in row.results:
            queries, recoveries = points(result)
            axes.scatter(queries[1:], recoveries[1:], s=9, color=color)
    axes.set(xscale="log", xlabel="queries", ylabel="recovery", xlim=(first, 1.3 * budget))
    axes.axvline(budget, color="grey", linewidth=0.6, linestyle=":")
    axes.axhline(0, color="grey", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)


def staircase(result: StoredRun, grid: np.ndarray) -> np.ndarray:
    """Recovery of the snapshot recommended at or before each point of the grid."""
    queries, recoveries = points(result)
    return recoveries[np.searchsorted(queries, grid, side="right") - 1]


def points(result: StoredRun) -> tuple[np.ndarray, np.ndarray]:
    """Queries and recovery of ERM and of every snapshot."""
    found = result.on_the_data
    assert found is not None
    return np.array([0, *found.queries]), found.curve.recovery[:, 0]


def shown(rows: list[Row]) -> list[Row]:
    """The best five by FPQ, GeZO as in the paper, and white-box Adam."""
    kept = [Entry("gezo", "pixel"), Entry("adam", "pixel")]
    best = [row for row in rows if row.entry not in kept][:5]
    return [row for row in rows if row in best or row.entry in kept]


def main() -> None:
    """Runs what is missing, then prints and draws what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--snapshots", type=int, default=RunConfig().snapshots)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--read-only", action="store_true", help="show what is done, run nothing")
    wanted = parser.parse_args()
    seeds = range(wanted.seeds)
    settings = {"device": wanted.device, "snapshots": wanted.snapshots}
    tasks = [
        (entry.folder(wanted.out, seed), entry.fields(seed)) for seed in seeds for entry in ENTRIES
    ]
    tasks.sort(key=lambda task: task[1]["space"] != "pixel")  # those that others are compared with
    if not wanted.read_only:
        joblib.Parallel(n_jobs=wanted.jobs)(
            joblib.delayed(carry_out)(*task, **settings) for task in tasks
        )
    rows = [row for entry in ENTRIES if (row := found(wanted.out, entry, seeds))]
    rows.sort(key=lambda row: -float(np.mean(row.fpq)))
    print(table(rows))
    if wanted.picture:
        draw(shown(rows), wanted.picture)


if __name__ == "__main__":
    main()
