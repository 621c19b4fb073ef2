"""A run in a notebook: a short text, a table as HTML, a data frame, a picture of its curve."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

from zobench.measures.interval import interval
from zobench.measures.recovery import RECOVERY

from .score_rows import ClassifierScore, Score

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from .stored_run import StoredRun

ERM, NO_QUERY, CONTROL = "ERM", "no query", "control"


def short(run: StoredRun) -> str:
    """The run in one line."""
    found = "" if run.fpq is None else f", FPQ {run.fpq.value:.2f}"
    return f"<run of {run.label} on {run.problem}, seed {run.config.seed}: {run.status}{found}>"


@dataclass(frozen=True)
class Row:
    """A row of a run's table.

    Attributes:
        name: What the classifier is called.
        knows: What it may know: ``no query``, ``control``, or the feedback level of the optimizer.
        score: What it achieves.
    """

    name: str
    knows: str
    score: ClassifierScore


def rows(run: StoredRun) -> list[Row]:
    """ERM, the no-query baselines, the edits, and the controls of the last edit."""
    found, level = run.results, run.feedback
    if found is None:
        return []
    erm, *edits = found.scores
    table = [Row(ERM, NO_QUERY, erm)]
    table += [Row(name, NO_QUERY, each) for name, each in found.baselines.items()]
    table += [Row("edit", level, each) for each in edits]
    if found.combined is not None:
        table.append(Row("edit + reweighing", level, found.combined))
    return [*table, *(Row(name, CONTROL, each) for name, each in found.controls.items())]


def frame(run: StoredRun) -> pandas.DataFrame:
    """One row a classifier: recovery, accuracy and every metric, each with its 95 % interval."""
    import pandas

    table: list[dict[str, Any]] = []
    for each_row in rows(run):
        score = each_row.score
        row: dict[str, Any] = {"row": each_row.name, "queries": score.queries}
        for key, each in {RECOVERY.name: score.recovery, **score.metrics}.items():
            row |= {key: each.value, f"{key}_low": each.low, f"{key}_high": each.high}
        if isinstance(score, Score):
            row |= {
                "objective": score.objective,
                "norm": score.norm,
                "sa_refitted": score.sa_refitted,
            }
        table.append(row)
    return pandas.DataFrame(table)


def html(run: StoredRun) -> str:
    """The verdict and a small table; all text is escaped."""
    head = f"<p><b>{escape(run.verdict.text)}</b></p>"
    metrics = [each for each in run.metrics if each.in_tables]
    headings = ["", "queries", *(each.heading for each in metrics), RECOVERY.heading]
    lines = ["".join(f"<th>{escape(each)}</th>" for each in headings)]
    for row in rows(run):
        score = row.score
        values = [f"{score.metrics[each.name].value:.{each.digits()}f}" for each in metrics]
        cells = [row.name, f"{score.queries:,}", *values, f"{score.recovery.value:.2f}"]
        lines.append("".join(f"<td>{escape(each)}</td>" for each in cells))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    fpq = "" if run.fpq is None else f", FPQ {run.fpq.value:.2f}"
    caption = f"{run.label} on {run.problem}, seed {run.config.seed}, {run.status}{fpq}"
    return f"{head}<table><caption>{escape(caption)}</caption>{body}</table>"


def plot(run: StoredRun, axes: Axes | None = None) -> Axes:
    """Draws recovery over queries with its 95 % band, the scored edits, and what costs no query.

    Args:
        run: A run with scores.
        axes: Where it is drawn; new axes if ``None``.

    Returns:
        The axes.

    Raises:
        ValueError: No edit is scored yet.
    """
    import numpy as np
    from matplotlib.ticker import LogLocator, NullLocator

    found = run.results
    if found is None or not found.queries:
        raise ValueError(f"{run.location} has no scored edit to draw")
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots()[1]
    assert axes is not None
    queries, recovery = np.array(found.queries), found.curve.recovery[1:]
    (line,) = axes.step(queries, recovery[:, 0], where="post", label=run.label)
    ends = [interval([row], RECOVERY) for row in recovery]
    low, high = [each.low for each in ends], [each.high for each in ends]
    axes.fill_between(queries, low, high, step="post", alpha=0.15, color=line.get_color())
    for edit in found.scores[1:]:
        axes.plot(edit.queries, edit.recovery.value, "o", color=line.get_color(), markersize=4)
    for style, (name, free) in zip(cycle((":", "--", "-.")), found.baselines.items(), strict=False):
        axes.axhline(free.recovery.value, color="grey", linestyle=style, label=f"{name}, no query")
    axes.axhline(0, color="grey", linewidth=0.6)
    axes.set(xscale="log", xlabel="queries", ylabel="recovery", title=run.problem)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False)
    return axes
