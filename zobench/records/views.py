"""A run in a notebook: a short text, a table as HTML, a data frame, a picture of its curve."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

from zobench.errors import ConfigError
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
    fpq = "" if run.fpq is None else f", FPQ {run.fpq.value:.2f}"
    return f"<run of {run.label} on {run.problem}, seed {run.config.seed}: {run.status}{fpq}>"


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
    results, level = run.results, run.feedback
    if results is None:
        return []
    erm, *edits = results.scores
    table = [Row(ERM, NO_QUERY, erm)]
    table += [Row(name, NO_QUERY, score) for name, score in results.baselines.items()]
    table += [Row("edit", level, edit) for edit in edits]
    if results.combined is not None:
        table.append(Row("edit + reweighing", level, results.combined))
    return [*table, *(Row(name, CONTROL, score) for name, score in results.controls.items())]


def frame(run: StoredRun) -> pandas.DataFrame:
    """One row a classifier: recovery, accuracy and every metric, each with its 95 % interval."""
    import pandas

    table: list[dict[str, Any]] = []
    for line in rows(run):
        score = line.score
        row: dict[str, Any] = {"row": line.name, "queries": score.queries}
        for key, number in {RECOVERY.name: score.recovery, **score.metrics}.items():
            row |= {key: number.value, f"{key}_low": number.low, f"{key}_high": number.high}
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
    metrics = [metric for metric in run.metrics if metric.in_tables]
    headings = ["", "queries", *(metric.heading for metric in metrics), RECOVERY.heading]
    lines = ["".join(f"<th>{escape(heading)}</th>" for heading in headings)]
    for row in rows(run):
        score = row.score
        values = [f"{score.metrics[metric.name].value:.{metric.digits()}f}" for metric in metrics]
        cells = [row.name, f"{score.queries:,}", *values, f"{score.recovery.value:.2f}"]
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
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
        ConfigError: No edit is scored yet.
    """
    results = run.results
    if results is None or not results.queries:
        raise ConfigError(
            f"{run.location} is {run.status} and has no scored edit to draw; complete it with zobench "
            "resume"
        )
    import numpy as np
    from matplotlib.ticker import LogLocator, NullLocator

    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots()[1]
    assert axes is not None
    queries, recovery = np.array(results.queries), results.curve.recovery[1:]
    (line,) = axes.step(queries, recovery[:, 0], where="post", label=run.label)
    ends = [interval([row], RECOVERY) for row in recovery]
    low, high = [end.low for end in ends], [end.high for end in ends]
    axes.fill_between(queries, low, high, step="post", alpha=0.15, color=line.get_color())
    for edit in results.scores[1:]:
        axes.plot(edit.queries, edit.recovery.value, "o", color=line.get_color(), markersize=4)
    for style, (name, free) in zip(
        cycle((":", "--", "-.")), results.baselines.items(), strict=False
    ):
        axes.axhline(free.recovery.value, color="grey", linestyle=style, label=f"{name}, no query")
    axes.axhline(0, color="grey", linewidth=0.6)
    axes.set(xscale="log", xlabel="queries", ylabel="recovery", title=run.problem)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False)
    return axes
