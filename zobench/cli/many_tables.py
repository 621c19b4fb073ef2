"""Many runs as a table: a run a row, or an optimizer on a problem a row with its mean over seeds."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.records.urls.copies import named

from .layouts import print_fitting

if TYPE_CHECKING:
    from zobench.records.summary_line import Headline
    from zobench.suite.running import Running


def print_runs(runs: Sequence[Headline], console: Console) -> None:
    """Prints every run: a table a problem, by optimizer and seed."""
    for problem, several in _by(runs, lambda run: run.problem):
        layouts = [_runs_table(problem, several, kept) for kept in RUN_LAYOUTS]
        print_fitting(layouts, console)


RUN_COLUMNS = (
    "optimizer",
    "seed",
    "status",
    "queries",
    "FPQ",
    "recovery",
    "EO_n",
    "EO_p",
    "accuracy",
)
RUN_LAYOUTS = (
    RUN_COLUMNS,
    ("optimizer", "seed", "status", "FPQ", "recovery", "accuracy"),
    ("status", "FPQ", "recovery"),
)
"""Beside the run's name, which tells optimizer and seed, too."""


def _runs_table(problem: str, runs: Sequence[Headline], kept: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = escape(problem)
    table.add_column("run", no_wrap=True)
    for heading in kept:
        left = heading in ("optimizer", "status")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for run in sorted(runs, key=lambda run: (run.optimizer, run.seed)):
        spent = f"{run.spent:,}" if run.status == "done" else f"{run.spent:,} of {run.budget:,}"
        shares = [_number(run, name, 2) for name in ("fpq", "recovery")]
        percents = [_number(run, name, 1) for name in ("eo_n", "eo_p", "accuracy")]
        words = [escape(run.optimizer), str(run.seed), run.status, spent, *shares, *percents]
        cells = dict(zip(RUN_COLUMNS, words, strict=True))
        table.add_row(escape(run.folder.name), *(cells[each] for each in kept))
    return table


def _by(
    runs: Sequence[Headline], key: Callable[[Headline], str]
) -> list[tuple[str, list[Headline]]]:
    groups: dict[str, list[Headline]] = defaultdict(list)
    for run in runs:
        groups[key(run)].append(run)
    return sorted(groups.items())


def _number(run: Headline, name: str, digits: int) -> str:
    value = run.values.get(name)
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def print_suite(name: str, running: Running, out: str, console: Console) -> None:
    """Prints what is done, best FPQ of a problem first, and what failed and why."""
    from zobench.records.summary_line import read_headline

    done = [read_headline(job.folder) for job in running.those("done")]
    if done:
        console.print(f"[bold]{escape(name)}[/]: mean over seeds (least … largest)")
    for problem, runs in _by(done, lambda run: run.problem):
        groups = _by(runs, lambda run: run.optimizer)
        groups.sort(key=lambda group: -_mean(group[1], "fpq"))
        layouts = [_suite_table(problem, groups, spread=spread) for spread in (True, False)]
        print_fitting(layouts, console)
    for job, error in running.errors.items():
        told = escape(named(f"{job.folder}: {error}"))
        console.print(f"[red]failed[/] {told}", soft_wrap=True)
    console.print(f"run folders: {escape(shlex.quote(out))}", soft_wrap=True)


def _suite_table(
    problem: str, groups: Sequence[tuple[str, list[Headline]]], *, spread: bool
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = escape(problem)
    table.add_column("optimizer", no_wrap=True)
    for heading in ("seeds", "FPQ", "recovery", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for optimizer, runs in groups:
        cells = [
            _spread(runs, each, digits, ends=spread)
            for each, digits in (("fpq", 2), ("recovery", 2), ("accuracy", 1))
        ]
        table.add_row(escape(optimizer), str(len(runs)), *cells)
    return table


def _values(runs: Sequence[Headline], name: str) -> list[float]:
    return [value for run in runs if (value := run.values.get(name)) is not None]


def _mean(runs: Sequence[Headline], name: str) -> float:
    values = _values(runs, name)
    return sum(values) / len(values) if values else 0.0


def _spread(runs: Sequence[Headline], name: str, digits: int, *, ends: bool) -> str:
    values = _values(runs, name)
    mean = f"{round(_mean(runs, name), digits) + 0.0:.{digits}f}"
    if len(values) < 2 or not ends:
        return mean
    return f"{mean} ({min(values):.{digits}f} … {max(values):.{digits}f})"
