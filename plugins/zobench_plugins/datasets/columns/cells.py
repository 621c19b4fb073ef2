"""The four cells of finding and sensitive attribute, of which each needs an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .faults import listed

if TYPE_CHECKING:
    import pandas


def empty_cells(
    label: pandas.Series[int],
    sensitive: pandas.Series[int],
    groups: tuple[str, str],
    finding: str = "the finding",
) -> str:
    """A sentence that names the cells without an image; empty if each cell has one.

    Args:
        label: Finding of each row: 0 or 1, or missing.
        sensitive: Group of each row: 0 or 1, or missing.
        groups: The names of the groups.
        finding: The name of the finding.
    """
    empty = [
        f"{name} {having} {finding}"
        for code, having in enumerate(("without", "with"))
        for group, name in enumerate(groups)
        if not ((label == code) & (sensitive == group)).any()
    ]
    cells = f"cell{'s' * (len(empty) > 1)}"
    return f"there is no image in the {cells} {listed(empty, '')}" if empty else ""
