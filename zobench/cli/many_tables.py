"""Many runs as a table: a run a row, or an optimizer on a problem a row with its mean over seeds."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ..headlines import Headline
    from ..suite.running import Running


def print_runs(runs: Sequence[Headline], console: Console) -> None:
    """Prints every run, by problem, optimizer and seed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "problem", "optimizer"):
        table.add_column(heading, overflow="fold")
    for heading in ("seed", "status", "queries", "FPQ", "recovery", "EO_n", "EO_p", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in sorted(runs, key=lambda run: (run.problem, run.optimizer, run.seed)):
        spent = f"{run.spent:,}" if run.status == "done" else f"{run.spent:,} of {run.budget:,}"
        words = (run.folder.name, run.problem, run.optimizer)
        shares = (_number(run, name, 2) for name in ("fpq", "recovery"))
        percents = (_number(run, name, 1) for name in ("eo_n", "eo_p", "accuracy"))
        numbers = (str(run.seed), run.status, spent, *shares, *percents)
        table.add_row(*map(escape, words), *numbers)
    console.print(table)


def _number(run: Headline, name: str, digits: int) -> str:
    value = run.values.get(name)
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def print_suite(name: str, running: Running, out: str, console: Console) -> None:
    """Prints what is done, best FPQ of a problem first, and what failed and why."""
    from ..headlines import read_headline

    groups: dict[tuple[str, str], list[Headline]] = defaultdict(list)
    for job in running.those("done"):
        run = read_headline(job.folder)
        groups[run.problem, run.optimizer].append(run)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"{escape(name)}: mean over seeds (least … largest)"
    table.add_column("problem", overflow="fold")
    table.add_column("optimizer", overflow="fold")
    for heading in ("seeds", "FPQ", "recovery", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = sorted(groups.items(), key=lambda group: (group[0][0], -_mean(group[1], "fpq")))
    for (what, optimizer), runs in rows:
        cells = (
            _spread(runs, "fpq", 2),
            _spread(runs, "recovery", 2),
            _spread(runs, "accuracy", 1),
        )
        table.add_row(escape(what), escape(optimizer), str(len(runs)), *cells)
    if rows:
        console.print(table)
    for job, error in running.errors.items():
        folder = escape(str(job.folder))
        console.print(f"[red]failed[/] {folder}: {escape(error)}", soft_wrap=True)
    console.print(f"run folders: {escape(shlex.quote(out))}", soft_wrap=True)


def _values(runs: Sequence[Headline], name: str) -> list[float]:
    return [value for run in runs if (value := run.values.get(name)) is not None]


def _mean(runs: Sequence[Headline], name: str) -> float:
    values = _values(runs, name)
    return sum(values) / len(values) if values else 0.0


def _spread(runs: Sequence[Headline], name: str, digits: int) -> str:
    values = _values(runs, name)
    mean = f"{round(_mean(runs, name), digits) + 0.0:.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ({min(values):.{digits}f} … {max(values):.{digits}f})"
