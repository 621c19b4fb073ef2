"""A suite as a table: an optimizer on a problem a row, mean over seeds."""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..identity import label, problem

if TYPE_CHECKING:
    from ..results import RunResult
    from ..suite.running import Running


def print_suite(name: str, running: Running, out: Path, console: Console) -> None:
    """Prints what is done, best FPQ of a problem first, and what failed and why."""
    from ..results import read_result

    groups: dict[tuple[str, str], list[RunResult]] = defaultdict(list)
    for job in running.those("done"):
        config = job.config.as_dict()
        groups[problem(config), label(config)].append(read_result(job.folder))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"{escape(name)}: mean over seeds (least … largest)"
    table.add_column("problem", overflow="fold")
    table.add_column("optimizer", overflow="fold")
    for heading in ("seeds", "FPQ", "recovery", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = sorted(groups.items(), key=lambda group: (group[0][0], -_mean(_fpq(group[1]))))
    for (what, optimizer), results in rows:
        accuracy = [result.scores[-1].metrics["accuracy"].value for result in results]
        recovery = [result.recovery or 0.0 for result in results]
        cells = (_spread(_fpq(results), 2), _spread(recovery, 2), _spread(accuracy, 1))
        table.add_row(escape(what), escape(optimizer), str(len(results)), *cells)
    if rows:
        console.print(table)
    for job, error in running.errors.items():
        folder = escape(str(job.folder))
        console.print(f"[red]failed[/] {folder}: {escape(error)}", soft_wrap=True)
    console.print(f"run folders: {escape(shlex.quote(str(out)))}", soft_wrap=True)


def _fpq(results: list[RunResult]) -> list[float]:
    return [result.fpq.value for result in results if result.fpq is not None]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _spread(values: list[float], digits: int) -> str:
    mean = f"{_mean(values) + 0.0:.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ({min(values):.{digits}f} … {max(values):.{digits}f})"
