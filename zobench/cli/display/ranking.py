"""The tables of a comparison of all optimizers with each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.comparison.all_pairs import LevelRanking
from zobench.measures.interval import Interval

from .console import output_console
from .layouts import print_fitting

NAME_WIDTH = 12
"""Least width of the column of optimizers, in characters."""
LEAST_P = 0.001
"""Smallest p-value that is shown as a number."""


def print_ranking(
    rankings: Sequence[LevelRanking],
    as_json: bool,
    notes: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Prints one table a feedback level, or one JSON object with every pair and the notes."""
    if as_json:
        levels = [level.as_dict() for level in rankings]
        print(json.dumps({"levels": levels, "notes": list(notes)}, allow_nan=False))
        return
    console = console or output_console()
    for level in rankings:
        print_fitting(
            [[_level_table(level, narrow) for narrow in (False, True)]], console, hint=False
        )
        for place, label in enumerate(level.labels):
            apart = [
                other for other in level.labels[place:] if other in level.without_shared(label)
            ]
            if apart:
                text = f"{label} shares no problem and seed with {', '.join(apart)}"
                console.print(text, markup=False, highlight=False)
    references = {level.reference for level in rankings} - {None}
    pairs = f"all pairs with {escape(references.pop() or '')}" if references else "all pairs"
    console.print(
        f"[dim]differences in FPQ over shared problems and seeds, at 5 % for {pairs} of a level "
        "together (Holm); one pair in full: --a LABEL --b LABEL[/]"
    )


def _level_table(level: LevelRanking, narrow: bool) -> Table:
    """The table of a level; a narrow one has intervals below their values, and folds labels."""
    if level.reference is None:
        return _counts(level, narrow)
    return _gains(level, level.reference, narrow)


def _table(level: LevelRanking, narrow: bool, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    over = (
        "patients"
        if all(estimate.seeds == 1 for estimate in level.fpq.values())
        else "seeds and patients"
    )
    table.title = f"{level.feedback} feedback: FPQ with 95 % intervals over {over}"
    if not level.all_share:
        table.title += "\nEach FPQ is over other problems or seeds: none is shared by all of these"
    if level.reference is not None:
        table.title += f"\nGains are over {escape(level.reference)}"
    table.add_column("", no_wrap=not narrow, overflow="fold", min_width=NAME_WIDTH)
    for heading in ("FPQ", "seeds", *headings):
        heading = heading.replace(" ", "\n") if narrow else heading
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _counts(level: LevelRanking, narrow: bool) -> Table:
    """How many optimizers each one is ahead of, behind, and not told from."""
    table = _table(level, narrow, "ahead of", "behind", "not told from")
    for label in level.labels:
        ahead, behind = len(level.behind(label)), len(level.ahead(label))
        others = len(level.labels) - 1 - len(level.without_shared(label))
        counts = [str(count) for count in (ahead, behind, others - ahead - behind)]
        fpq = level.fpq[label]
        table.add_row(escape(label), _shown(fpq, narrow), str(fpq.seeds), *counts)
    return table


def _gains(level: LevelRanking, reference: str, narrow: bool) -> Table:
    """What each optimizer gains over the reference."""
    table = _table(level, narrow, "gain", "p (Holm)")
    for label in level.labels:
        gain, adjusted = level.gain_over(reference, label)
        table.add_row(
            escape(label),
            _shown(level.fpq[label], narrow),
            str(level.fpq[label].seeds),
            "" if gain is None else _shown(gain, narrow, "+"),
            _p(adjusted),
        )
    return table


def _p(value: float) -> str:
    if not isfinite(value):
        return ""
    return "< 0.001" if value < LEAST_P else f"{value:.3f}"


def _shown(estimate: Interval, narrow: bool, sign: str = "") -> str:
    value, low, high = (
        f"{round(number, 2) + 0.0:{sign}.2f}"
        for number in (estimate.value, estimate.low, estimate.high)
    )
    gap = "\n" if narrow else " "
    return f"{value}{gap}\\[{low}, {high}]"
