"""The table of a gate, and the line about a new baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from zobench.comparison.gate import Check
from zobench.comparison.gate_file import read_baseline, write_baseline
from zobench.comparison.gate_rows import baseline_of, computable, margins_for
from zobench.contracts.metric import Metric
from zobench.records.stored_run import StoredRun

from .console import output_console

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
    words = f"wrote {path}: rows: {len(baseline.rows)}"
    there = {(row.optimizer, row.problem) for row in baseline.rows}
    gone = [row for row in (old.rows if old else ()) if (row.optimizer, row.problem) not in there]
    if gone:
        names = ", ".join(f"{row.optimizer} on {row.problem}" for row in gone)
        words += f"; without runs, and gone: {names}"
    output_console().print(words, soft_wrap=True, markup=False)


def passed(checks: Sequence[Check]) -> bool:
    """Whether nothing fell and nothing is missing."""
    return not any(each.standing in FAILING for each in checks)


HEADINGS = ("optimizer", "feedback", "problem", "metric", "baseline", "now", "gain", "may lose", "")


def _cells(each: Check, digits: int) -> list[str]:
    """A row of the table."""

    def shown(value: float, sign: str = "") -> str:
        return f"{value:{sign}.{digits}f}" if math.isfinite(value) else ""

    gain = shown(each.gain, "+")
    if gain:
        gain = f"{gain} ± {each.half_width:.{digits}f}"
    numbers = [shown(each.before), shown(each.now), gain, f"{each.margin:g}"]
    return [each.optimizer, each.feedback, each.problem, each.metric, *numbers, each.standing]


def verdict(checks: Sequence[Check]) -> str:
    """The result of all checks in one sentence."""
    bad = [each for each in checks if each.standing in FAILING]
    new = sum(each.standing == "new" for each in checks)
    known = len(checks) - new
    more = f"; {new} new, without a baseline" if new else ""
    if not bad:
        return f"passed: {known} numbers hold{more}"
    return f"failed: {len(bad)} of {known} numbers fell or are missing{more}"


def print_checks(
    checks: Sequence[Check], quantities: Sequence[Metric], *, as_json: bool, markdown: bool
) -> None:
    """Prints every check: as one JSON object, a Markdown table, or a terminal table."""
    digits = {each.name: each.digits(more=1) for each in quantities}
    ordered = sorted(checks, key=lambda each: each.standing not in FAILING)
    rows = [_cells(each, digits[each.metric]) for each in ordered]
    if as_json:
        plain = [_plain(asdict(each)) for each in checks]
        print(json.dumps({"passed": passed(checks), "checks": plain}, allow_nan=False))
    elif markdown:
        print(_as_markdown(checks, ordered, rows))
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, heading in enumerate(HEADINGS):
            table.add_column(
                heading, justify="right" if 3 < number < 8 else "left", overflow="fold"
            )
        for each, row in zip(ordered, rows, strict=True):
            style = STYLES.get(each.standing, "dim")
            table.add_row(*map(escape, row[:-1]), f"[{style}]{escape(row[-1])}[/]")
        console = output_console()
        console.print(table)
        console.print(f"[bold]{verdict(checks)}[/]")


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
    for each, cells in zip(ordered, rows, strict=True):
        row = [cell.replace("|", "\\|") for cell in cells]
        row[-1] = f"**{row[-1]}**" if each.standing in FAILING else row[-1]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([f"**{verdict(checks)}**", "", *lines])
