"""``zobench compare``: is B better, and how sure are we?"""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.comparison.export import check_target, write_table
from zobench.comparison.pairs import Comparison, compare, sentence
from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError
from zobench.measures.interval import Interval
from zobench.records.stored_run import HIGHER_IS_BETTER, SHARES, measure_all, possible

from .console import output_console
from .layouts import print_fitting

STYLES = {"better": "green", "worse": "red", "undecided": "yellow"}


def compare_runs(
    a: Path,
    b: Path,
    labels: tuple[str | None, str | None],
    margins: list[str],
    export: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Prints how B's runs differ from A's.

    Raises:
        ZobenchError: There is nothing to compare, or it cannot be compared.
    """
    allowed = parse_margins(margins)
    if export is not None:
        check_target(export, force)
    one, other = (
        measure_all([path], wanted=wanted) for path, wanted in zip((a, b), labels, strict=True)
    )
    found = compare(one, other, allowed)
    if export is not None:
        write_table(export, pair_rows(found))
    if as_json:
        print(json.dumps(as_dict(found), allow_nan=False))
    else:
        print_comparison(found, output_console())


def parse_margins(texts: list[str]) -> dict[str, float]:
    """``["fpq=0.02"]`` as ``{"fpq": 0.02}``.

    Raises:
        ConfigError: No such metric, or no number of at least 0.
    """
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in HIGHER_IS_BETTER:
            raise ConfigError(
                f"--margin {text!r}: there is no metric {name!r}{nearest(name, HIGHER_IS_BETTER)}; "
                f"known: {', '.join(HIGHER_IS_BETTER)}"
            )
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] < float("inf"):
            raise ConfigError(f"--margin {text!r} must be metric=number, of at least 0")
    return found


def print_comparison(found: Comparison, console: Console) -> None:
    """A table of metrics and one sentence."""
    console.print(f"A: [bold]{escape(found.a)}[/]   B: [bold]{escape(found.b)}[/]")
    print_fitting([_table(found, both=True), _table(found, both=False)], console)
    console.print("[dim]a gain is positive where B is better, whichever way the metric points[/]")
    for note in found.notes:
        console.print(f"[bold yellow]note:[/] {escape(note)}", soft_wrap=True)
    if found.left_out:
        names = ", ".join(run.folder.name for run in found.left_out)
        console.print(f"[bold yellow]note:[/] left out, without a scored partner: {escape(names)}")
    console.print(f"[bold]{escape(sentence(found))}[/]", soft_wrap=True)


def _table(found: Comparison, *, both: bool) -> Table:
    """A row a metric; with what each of ``both`` comes to, or only with the difference."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "means over pairs, with 95 % intervals over seeds and patients"
    table.add_column("", no_wrap=True)
    for heading in (*("A", "B")[: 2 * both], "B gains", "P(B better)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    for name, each in found.metrics.items():
        digits = 3 if name in SHARES else 1
        style = STYLES.get(each.verdict, "dim")
        values = [_cell(possible(value, name), digits) for value in (each.a, each.b)]
        table.add_row(
            name,
            *values[: 2 * both],
            _cell(each.gain, digits, signed=True),
            f"{each.superiority:.1%}" if isfinite(each.superiority) else "",
            f"[{style}]{each.verdict}[/]",
        )
    return table


def _cell(interval: Interval, digits: int, signed: bool = False) -> str:
    if not isfinite(interval.value):
        return "infinite"
    sign = "+" if signed else ""
    ends = f"{interval.low:{sign}.{digits}f}, {interval.high:{sign}.{digits}f}"
    return f"{interval.value:{sign}.{digits}f} \\[{ends}]"


def as_dict(found: Comparison) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "a": found.a,
        "b": found.b,
        "pairs": [[str(run.folder) for run in pair] for pair in found.pairs],
        "left_out": [str(run.folder) for run in found.left_out],
        "metrics": {name: _plain(asdict(each)) for name, each in found.metrics.items()},
        "notes": list(found.notes),
        "verdict": sentence(found),
    }


def _plain(values: Any) -> Any:
    """As JSON can hold it: ``None`` for what is infinite or unknown."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return None if isinstance(values, float) and not isfinite(values) else values


def pair_rows(found: Comparison) -> list[dict[str, object]]:
    """For ``--export``: a row a pair and metric."""
    return [
        {
            "problem": one.problem,
            "seed": one.config.seed,
            "a": one.label,
            "b": other.label,
            "metric": name,
            "value_a": float(one.metric(name)[0]),
            "value_b": float(other.metric(name)[0]),
            "run_a": one.folder.name,
            "run_b": other.folder.name,
        }
        for one, other in found.pairs
        for name in HIGHER_IS_BETTER
    ]
