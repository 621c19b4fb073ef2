"""Tables for terminals of any width: the fullest of several layouts that fits."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def widest_fitting(layouts: Sequence[Table], console: Console) -> int:
    """The first layout that fits without cutting anything; the last one if none does.

    Args:
        layouts: From the fullest to the barest.
        console: Where it is to be printed.

    Returns:
        Its place in ``layouts``.
    """
    unlimited = console.options.update(width=10_000)
    widths = [Measurement.get(console, unlimited, layout).maximum for layout in layouts]
    fitting = [place for place, width in enumerate(widths) if width <= console.width]
    return fitting[0] if fitting else len(layouts) - 1


def print_fitting(layouts: Sequence[Table], console: Console) -> None:
    """Prints the fullest layout that fits, and says where the rest is if anything is left out."""
    chosen = widest_fitting(layouts, console)
    console.print(layouts[chosen])
    if chosen:
        console.print("[dim]a wider terminal, or --json, shows more[/]")
