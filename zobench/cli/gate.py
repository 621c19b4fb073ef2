"""``zobench gate``: fails a build whose fairness per query has fallen."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.comparison.gate import (
    MARGINS,
    Check,
    baseline_of,
    check,
    read_baseline,
    write_baseline,
)
from zobench.errors import ConfigError
from zobench.records.stored_run import SHARES, measure_all

from .compare import parse_margins
from .console import output_console

STYLES = {"fell": "red", "missing": "red", "rose": "green", "new": "yellow"}
FAILING = ("fell", "missing")


def hold_to_baseline(
    runs: list[Path], path: Path, update: bool, margins: list[str], as_json: bool, markdown: bool
) -> bool:
    """Writes a baseline, or compares runs with it; whether everything holds.

    Raises:
        ZobenchError: Runs or baseline cannot be read, or belong to different conditions.
    """
    measured = measure_all(runs)
    console = output_console()
    wanted = parse_margins(margins)
    if update:
        # what is there and no baseline is somebody's file: reading it refuses it
        known = dict(read_baseline(path).margins) if path.exists() else MARGINS
        baseline = baseline_of(measured, {**known, **wanted})
        write_baseline(path, baseline)
        console.print(f"wrote {path}: {len(baseline.rows)} rows", soft_wrap=True, markup=False)
        return True
    if wanted:
        raise ConfigError("margins are kept in the baseline: give --margin together with --update")
    baseline = read_baseline(path)
    checks = check(baseline, baseline_of(measured, baseline.margins))
    if as_json:
        rows = [
            {
                k: None if isinstance(v, float) and not math.isfinite(v) else v
                for k, v in row.items()
            }
            for row in map(asdict, checks)
        ]
        print(json.dumps({"passed": passed(checks), "checks": rows}, allow_nan=False))
    elif markdown:
        print(as_markdown(checks))
    else:
        print_checks(checks, console)
    return passed(checks)


def passed(checks: list[Check]) -> bool:
    """Whether nothing fell and nothing is missing."""
    return not any(each.standing in FAILING for each in checks)


HEADINGS = ("optimizer", "problem", "metric", "baseline", "now", "gain", "may lose", "")


def cells(each: Check) -> list[str]:
    """A row of the table."""
    digits = 3 if each.metric in SHARES else 1

    def shown(value: float, sign: str = "") -> str:
        return f"{value:{sign}.{digits}f}" if math.isfinite(value) else ""

    gain = shown(each.gain, "+")
    if gain:
        gain = f"{gain} ± {each.half_width:.{digits}f}"
    numbers = [shown(each.before), shown(each.now), gain, f"{each.margin:g}"]
    return [each.optimizer, each.problem, each.metric, *numbers, each.standing]


def verdict(checks: list[Check]) -> str:
    """In one sentence."""
    bad = [each for each in checks if each.standing in FAILING]
    if not bad:
        return f"passed: {len(checks)} numbers hold"
    return f"failed: {len(bad)} of {len(checks)} numbers fell or are missing"


def print_checks(checks: list[Check], console: Console) -> None:
    """A table, what fell first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if 2 < number < 7 else "left", overflow="fold")
    for each in sorted(checks, key=lambda each: each.standing not in FAILING):
        row = [escape(cell) for cell in cells(each)]
        style = STYLES.get(each.standing, "dim")
        table.add_row(*row[:-1], f"[{style}]{row[-1]}[/]")
    console.print(table)
    console.print(f"[bold]{verdict(checks)}[/]")


def as_markdown(checks: list[Check]) -> str:
    """For the summary page of a CI job."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- " * len(HEADINGS) + "|"]
    for each in sorted(checks, key=lambda each: each.standing not in FAILING):
        row = [cell.replace("|", "\\|") for cell in cells(each)]
        row[-1] = f"**{row[-1]}**" if each.standing in FAILING else row[-1]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([f"**{verdict(checks)}**", "", *lines])
