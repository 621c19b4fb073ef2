"""Tables for terminals of any width: the layout with the most columns that fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def print_fitting(tables: Iterable[Sequence[Table]], console: Console, *, hint: bool = True) -> int:
    """Prints tables that belong together, all in the first layout in which each of them fits.

    Args:
        tables: The layouts of each table, from the most columns to the fewest.
        console: The console that prints the tables.
        hint: Whether to say that columns are left out, if some are.

    Returns:
        The index of the layout.
    """
    tables = list(tables)
    chosen = max((widest_fitting(layouts, console) for layouts in tables), default=0)
    for layouts in tables:
        console.print(layouts[chosen])
    if chosen and hint:
        console.print("[dim]a wider terminal, or --json, shows more[/]")
    return chosen
