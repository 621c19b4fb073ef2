"""Tables for terminals of any width: the layout with the most columns that fits."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def widest_fitting(layouts: Sequence[Table], console: Console) -> int:
    """The first layout that fits without cutting anything; the last one if none does.

    Args:
        layouts: The tables, from the most columns to the fewest.
        console: The console that prints the table.

    Returns:
        The index of that layout in ``layouts``.
    """
    unlimited = console.options.update(width=10_000)
    widths = [Measurement.get(console, unlimited, layout).maximum for layout in layouts]
    fitting = [place for place, width in enumerate(widths) if width <= console.width]
    return fitting[0] if fitting else len(layouts) - 1


def print_fitting(layouts: Sequence[Table], console: Console, *, hint: bool = True) -> int:
    """Prints the first layout that fits, with a hint if columns are left out; returns its index."""
    chosen = widest_fitting(layouts, console)
    console.print(layouts[chosen])
    if chosen and hint:
        console.print("[dim]a wider terminal, or --json, shows more[/]")
    return chosen
