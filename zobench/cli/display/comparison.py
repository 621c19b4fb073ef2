"""The table of a comparison."""

from __future__ import annotations

import json
from math import isfinite, isnan

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.comparison.pairs import Comparison
from zobench.measures.interval import Interval

from .console import output_console
from .layouts import print_fitting

STYLES = {"better": "green", "worse": "red", "undecided": "yellow"}


def print_comparison(comparison: Comparison, as_json: bool, console: Console | None = None) -> None:
    """Prints a table of quantities and one sentence, or one JSON object."""
    if as_json:
        print(json.dumps(comparison.as_dict(), allow_nan=False))
        return
    console = console or output_console()
    levels = [f"({level})" for level in comparison.feedback]
    console.print(
        f"A: [bold]{escape(comparison.a)}[/] {levels[0]}   "
        f"B: [bold]{escape(comparison.b)}[/] {levels[1]}"
    )
    print_fitting([[_table(comparison, both=both) for both in (True, False)]], console)
    console.print("[dim]a gain is positive where B is better, whichever way the metric points[/]")
    for note in comparison.notes:
        console.print(f"[bold yellow]note:[/] {escape(note)}", soft_wrap=True)
    if comparison.left_out:
        names = ", ".join(run.run_id for run in comparison.left_out)
        console.print(f"[bold yellow]note:[/] left out, without a scored partner: {escape(names)}")
    console.print(f"[bold]{escape(comparison.verdict)}[/]", soft_wrap=True)


def _table(comparison: Comparison, *, both: bool) -> Table:
    """One row per quantity: A, B and the difference, or only the difference."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "means over seeds, with 95 % intervals over seeds and patients"
    if comparison.seeds == 1:
        table.title = "one seed, with 95 % intervals over patients"
    table.add_column("", no_wrap=True)
    for heading in (*("A", "B")[: 2 * both], "B gains", "P(B better)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    for quantity in comparison.quantities:
        difference, digits = comparison.metrics[quantity.name], quantity.digits(more=1)
        style = STYLES.get(difference.verdict, "dim")
        values = [_cell(value, digits) for value in (difference.a, difference.b)]
        table.add_row(
            f"{quantity.name} (%)" if quantity.unit == "percent" else quantity.name,
            *values[: 2 * both],
            _cell(difference.gain, digits, signed=True),
            f"{difference.superiority:.1%}" if isfinite(difference.superiority) else "",
            f"[{style}]{difference.verdict}[/]",
        )
    return table


def _cell(interval: Interval, digits: int, signed: bool = False) -> str:
    if not isfinite(interval.value):
        return "unknown" if signed or isnan(interval.value) else "infinite"
    sign = "+" if signed else ""
    value, low, high = (
        f"{round(number, digits) + 0.0:{sign}.{digits}f}"
        for number in (interval.value, interval.low, interval.high)
    )
    return f"{value} \\[{low}, {high}]"
