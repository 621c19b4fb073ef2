"""Makes the tables and pictures of optimizers.md from the runs of a suite.

    zobench suite docs/explanation/optimizers.toml --out runs/optimizers --jobs 2
    python docs/explanation/optimizer_tables.py runs/optimizers --disease edema --pictures pictures

One table for each feedback level, the highest FPQ first; runs that are not done are left out. The
pictures have the name of the folder of runs: ``optimizers.svg`` (recovery over queries) and
``optimizers-ranks.svg`` (which differences are beyond chance).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from recoveries import bounded, recovery_at

import zobench
from zobench.comparison.all_pairs import LevelRanking, rank_all
from zobench.files.row_files import read_rows
from zobench.measures.recovery import BEYOND_PLACEBO, RECOVERY
from zobench.records.layout import TIMING
from zobench.records.runtime import queries_to
from zobench.records.stored_run import StoredRun
from zobench.statistics import expected_queries

AT = (160, 640, 3200, 12_800)
"""Query counts of the columns, where ``--at`` names none."""

TARGET = 0.25
"""Recovery whose expected number of queries is shown."""

ALWAYS = ("gezo step=0.01", "adam lr=0.01")
"""The paper's two optimizers with its settings, drawn whatever their rank."""

DRAWN = 5
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
"""Okabe and Ito's."""

LEVELS = {"value": "values only", "embeddings": "embeddings", "gradient": "gradients, white box"}

Groups = dict[str, list[StoredRun]]


def grouped(runs: Sequence[StoredRun], level: str) -> Groups:
    """The runs of a level by their optimizer, by increasing seed."""
    groups: Groups = {}
    for run in sorted(runs, key=lambda run: run.config.seed):
        if run.feedback == level:
            groups.setdefault(run.label, []).append(run)
    return groups


def table(ranking: LevelRanking, groups: Groups, at: Sequence[int]) -> str:
    """Markdown: means over findings and seeds; 95 % intervals over seeds and patients."""
    lines = [
        f"| optimizer | seeds | FPQ | {' | '.join(f'@{n:,}' for n in at)} | accuracy | beyond placebo "
        f"| ERT({TARGET}) | all but the encoder |",
        "| --- " * (len(at) + 7) + "|",
    ]
    for label in ranking.labels:
        runs = groups[label]
        recoveries = [
            float(np.mean([recovery_at(run, queries)[0] for run in runs])) for queries in at
        ]
        cells = [
            f"`{label}`",
            str(len({run.config.seed for run in runs})),
            bounded(ranking.fpq[label]),
            *(_signed(recovery) for recovery in recoveries),
            f"{np.mean([run.scores[-1].metrics['accuracy'].value for run in runs]):.0f}",
            _beyond_placebo(runs),
            _expected(runs),
            _overhead(runs),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def no_query_lines(runs: Sequence[StoredRun]) -> dict[str, float]:
    """Mean recovery over findings and seeds of each no-query baseline."""
    by_name: dict[str, list[float]] = {}
    for run in {(run.config.disease, run.config.seed): run for run in runs}.values():
        results = run.results
        assert results is not None
        for name in results.baselines:
            value = float(results.baseline_values(name, RECOVERY)[0])
            by_name.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in by_name.items()}


def _beyond_placebo(runs: Sequence[StoredRun]) -> str:
    if any(run.results is None or "placebo" not in run.results.controls for run in runs):
        return "\N{EN DASH}"
    return _signed(float(np.mean([run.values(BEYOND_PLACEBO)[0] for run in runs])))


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def _expected(runs: Sequence[StoredRun]) -> str:
    """Expected queries to the target, at the resolution of the snapshots, and how many runs reach it."""
    costs = [queries_to(run, TARGET) for run in runs]
    expected = expected_queries(costs, [run.spent for run in runs])
    rounded = "∞" if np.isinf(expected) else f"{round(expected, -1):,.0f}"
    return f"{rounded} ({len(costs) - costs.count(None)} of {len(costs)})"


def _overhead(runs: Sequence[StoredRun]) -> str:
    """Share of the optimizing that is spent outside the encoder."""
    rows = [row for run in runs for row in read_rows(run.run_dir / TIMING).rows]
    inside = sum(row["encoder_seconds"] for row in rows)
    whole = sum(row["seconds"] for row in rows)
    return f"{(whole - inside) / whole:.1%}"


def draw_curves(rankings: Sequence[LevelRanking], runs: Sequence[StoredRun], path: Path) -> None:
    """Recovery over queries, a panel a level: mean over seeds, band from the least to the largest."""
    figure = Figure(figsize=(8, 3.1 * len(rankings)), layout="constrained")
    baselines = no_query_lines(runs)
    for axes, ranking in zip(
        figure.subplots(len(rankings), 1, squeeze=False).flat, rankings, strict=True
    ):
        groups = grouped(runs, ranking.feedback)
        kept = [name for name in ranking.labels if name in ALWAYS]
        drawn = [*[name for name in ranking.labels if name not in ALWAYS][:DRAWN], *kept]
        for label, colour in zip(drawn, COLOURS, strict=False):
            _draw_curve(axes, groups[label], label, colour)
        for (name, value), style in zip(
            baselines.items(), ("--", ":", "-.", (0, (1, 4))), strict=False
        ):
            axes.axhline(
                value, color="grey", linewidth=0.9, linestyle=style, label=f"{name}, no query"
            )
        axes.axhline(0, color="grey", linewidth=0.5)
        axes.set(xscale="log", ylabel="recovery", xlim=(20, None))
        axes.set_title(f"feedback: {LEVELS[ranking.feedback]}", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    marked = any("placebo" in run.results.controls for run in runs if run.results is not None)
    cross = "; \N{MULTIPLICATION SIGN}: the last edit's placebo" if marked else ""
    axes.set_xlabel(f"queries{cross}")
    _save(figure, path)


def _draw_curve(axes: Axes, runs: Sequence[StoredRun], label: str, colour: str) -> None:
    results = [run.results for run in runs if run.results is not None]
    grid = np.unique([queries for one in results for queries in one.queries])
    by_seed: dict[int, list[list[float]]] = {}
    for run in runs:
        by_seed.setdefault(run.config.seed, []).append([recovery_at(run, at)[0] for at in grid])
    curves = np.stack([np.mean(recoveries, 0) for recoveries in by_seed.values()])  # over findings
    axes.plot(grid, curves.mean(0), drawstyle="steps-post", color=colour, label=label)
    axes.fill_between(
        grid, curves.min(0), curves.max(0), step="post", alpha=0.12, color=colour, linewidth=0
    )
    placebos = [
        one.controls["placebo"].recovery.value for one in results if "placebo" in one.controls
    ]
    if placebos:
        axes.plot(
            runs[0].config.budget, np.mean(placebos), "x", color=colour, markersize=5, clip_on=False
        )


def draw_ranks(rankings: Sequence[LevelRanking], path: Path) -> None:
    """Mean FPQ of each optimizer; a bar joins those of which no two differ beyond chance."""
    heights = [0.6 + 0.24 * len(ranking.labels) for ranking in rankings]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    panels = figure.subplots(
        len(rankings), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    ).flat
    for axes, ranking in zip(panels, rankings, strict=True):
        values = [ranking.fpq[label] for label in ranking.labels]
        rows = np.arange(len(values))
        means = np.array([value.value for value in values])
        axes.hlines(
            rows, [v.low for v in values], [v.high for v in values], color="#9ab", linewidth=1.2
        )
        axes.plot(means, rows, "o", color="#0072B2", markersize=4)
        for number, (start, end) in enumerate(cliques(ranking)):
            place = 1.02 + 0.02 * number
            axes.plot(
                [place, place],
                [start - 0.25, end + 0.25],
                color="black",
                linewidth=2.5,
                transform=axes.get_yaxis_transform(),
                clip_on=False,
                solid_capstyle="butt",
            )
        axes.set_yticks(rows, ranking.labels, fontsize=8)
        axes.set(ylim=(len(values) - 0.5, -0.5), xlim=(-0.25, 0.75))
        axes.axvline(0, color="grey", linewidth=0.5)
        axes.set_title(f"feedback: {LEVELS[ranking.feedback]}", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("FPQ, 95 % interval; a black bar: no two differ (Holm, 5 %)")
    _save(figure, path)


def cliques(ranking: LevelRanking) -> list[tuple[int, int]]:
    """First and last rank of each largest row of neighbours of which no two differ."""
    apart = {frozenset((pair.a, pair.b)) for pair in ranking.pairs if pair.differs}
    labels, pairs = ranking.labels, list[tuple[int, int]]()
    for start in range(len(labels)):
        end = start
        while end + 1 < len(labels) and not any(
            frozenset(pair) in apart for pair in combinations(labels[start : end + 2], 2)
        ):
            end += 1
        if end > start and (not pairs or end > pairs[-1][1]):
            pairs.append((start, end))
    return pairs


def _save(figure: Figure, path: Path) -> None:
    """Writes the same bytes for the same runs."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": path.name}):
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Prints the tables, and draws the pictures where a folder is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--disease", nargs="+", help="only these findings; all of them if left out")
    parser.add_argument("--at", nargs="+", type=int, default=AT, help="queries of the columns")
    parser.add_argument("--pictures", type=Path, help="folder to write the two pictures into")
    wanted = parser.parse_args()
    every = [zobench.show(path.parent) for path in sorted(wanted.runs.glob("*/manifest.json"))]
    chosen = wanted.disease
    diseases = sorted({run.config.disease for run in every})
    if unknown := sorted({*(chosen or ())} - {*diseases}):
        raise SystemExit(f"--disease {' '.join(unknown)}: the runs are of {', '.join(diseases)}")
    runs = [run for run in every if run.done and (not chosen or run.config.disease in chosen)]
    if not runs:
        raise SystemExit(f"{wanted.runs} has no runs that are done; run the suite first")
    rankings = rank_all(runs)
    for ranking in rankings:
        groups = grouped(runs, ranking.feedback)
        print(
            f"\n### Feedback: {LEVELS[ranking.feedback]}\n\n{table(ranking, groups, wanted.at)}\n"
        )
        differing = sum(pair.differs for pair in ranking.pairs)
        print(f"{differing} of {len(ranking.pairs)} pairs differ beyond chance (Holm, 5 %).")
    if values := ", ".join(f"{name} {value:.2f}" for name, value in no_query_lines(runs).items()):
        print(f"\nRecovery at no query: {values}.")
    if wanted.pictures:
        wanted.pictures.mkdir(parents=True, exist_ok=True)
        draw_curves(rankings, runs, wanted.pictures / f"{wanted.runs.name}.svg")
        draw_ranks(rankings, wanted.pictures / f"{wanted.runs.name}-ranks.svg")


if __name__ == "__main__":
    main()
