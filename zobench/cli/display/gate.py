"""The table of a gate, and the line about a new baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from zobench.comparison.gate import Check
from zobench.comparison.gate_file import read_baseline, write_baseline
from zobench.comparison.gate_rows import baseline_of, computable, margins_for
from zobench.contracts.metric import Metric
from zobench.records.stored_run import StoredRun

from .console import output_console
from .layouts import print_fitting

STYLES = {"fell": "red", "missing": "red", "rose": "green", "new": "yellow"}
FAILING = ("fell", "missing")


def update_baseline(runs: Sequence[StoredRun], path: Path, margins: Mapping[str, float]) -> None:
    """Writes a baseline from runs; ``margins`` replace margins of the old baseline.

    Raises:
        ConfigError: The existing file is no baseline, or the runs cannot form a baseline.
    """
    old = read_baseline(path, computable(runs)) if path.exists() else None
    kept = margins_for(runs) if old is None else old.margins
    baseline = baseline_of(runs, {**kept, **margins})
    write_baseline(path, baseline)
    words = f"wrote {path}: {len(baseline.rows):,} row{'' if len(baseline.rows) == 1 else 's'}"
    there = {(row.optimizer, row.problem) for row in baseline.rows}
    gone = [row for row in (old.rows if old else ()) if (row.optimizer, row.problem) not in there]
    if gone:
        names = ", ".join(f"{row.optimizer} on {row.problem}" for row in gone)
        words += f"; without runs, and gone: {names}"
    output_console().print(words, soft_wrap=True, markup=False)


def passed(checks: Sequence[Check]) -> bool:
    """Whether nothing fell and nothing is missing."""
    return not any(check.standing in FAILING for check in checks)


HEADINGS = ("optimizer", "feedback", "problem", "metric", "baseline", "now", "gain", "may lose", "")
OF_A_GROUP = ("feedback", "problem")
"""Columns of which the terminal makes one table for each combination."""

LAYOUTS = (
    tuple(column for column in HEADINGS if column not in OF_A_GROUP),
    ("optimizer", "metric", "now", "gain", ""),
)
"""Columns of a table in a terminal, from the widest terminals to the narrowest."""

LEFT = ("optimizer", "metric", "")


def _cells(check: Check, digits: int) -> list[str]:
    """A row of the table."""

    def shown(value: float, sign: str = "") -> str:
        return f"{round(value, digits) + 0.0:{sign}.{digits}f}" if math.isfinite(value) else ""

    gain = shown(check.gain, "+")
    if gain:
        gain = f"{gain} ± {check.half_width:.{digits}f}"
    numbers = [shown(check.before), shown(check.now), gain, f"{check.margin:g}"]
    return [check.optimizer, check.feedback, check.problem, check.metric, *numbers, check.standing]


def verdict(checks: Sequence[Check]) -> str:
    """The result of all checks in one sentence."""
    bad = [check for check in checks if check.standing in FAILING]
    new = sum(check.standing == "new" for check in checks)
    compared = len(checks) - new
    more = f"; {new} new, without a baseline" if new else ""
    if not bad:
        return f"passed: {compared} numbers hold{more}"
    return f"failed: {len(bad)} of {compared} numbers fell or are missing{more}"


def print_checks(
    checks: Sequence[Check],
    quantities: Sequence[Metric],
    *,
    as_json: bool = False,
    markdown: bool = False,
    console: Console | None = None,
) -> None:
    """Prints every check: as one JSON object, a Markdown table, or a terminal table a problem."""
    digits = {quantity.name: quantity.digits(more=1) for quantity in quantities}
    ordered = sorted(checks, key=lambda check: check.standing not in FAILING)
    rows = [_cells(check, digits[check.metric]) for check in ordered]
    if as_json:
        plain = [_plain(asdict(check)) for check in checks]
        print(json.dumps({"passed": passed(checks), "checks": plain}, allow_nan=False))
    elif markdown:
        print(_as_markdown(checks, ordered, rows))
    else:
        console = console or output_console()
        groups: dict[str, list[dict[str, str]]] = {}
        for check, row in zip(ordered, rows, strict=True):
            group = groups.setdefault(f"{check.problem}, {check.feedback} feedback", [])
            group.append(dict(zip(HEADINGS, row, strict=True)))
        tables = (
            [_table(title, members, columns) for columns in LAYOUTS]
            for title, members in groups.items()
        )
        print_fitting(tables, console)
        console.print(f"[bold]{verdict(checks)}[/]")


def _table(title: str, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Table:
    """The checks on one problem at one level of feedback."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(title), title_justify="left")
    for heading in columns:
        justify: JustifyMethod = "left" if heading in LEFT else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        standing = row[HEADINGS[-1]]
        cells = [escape(row[heading]) for heading in columns[:-1]]
        table.add_row(*cells, f"[{STYLES.get(standing, 'dim')}]{standing}[/]")
    return table


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for JSON: NaN and infinity become ``None``."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _as_markdown(
    checks: Sequence[Check], ordered: Sequence[Check], rows: Sequence[Sequence[str]]
) -> str:
    """A table for the summary page of a CI job."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- " * len(HEADINGS) + "|"]
    for check, cells in zip(ordered, rows, strict=True):
        row = [cell.replace("|", "\\|") for cell in cells]
        row[-1] = f"**{row[-1]}**" if check.standing in FAILING else row[-1]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([f"**{verdict(checks)}**", "", *lines])
