"""Everything that is wrong with a table, told at once, with counts by reason."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zobench.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    import pandas

SHOWN = 5
"""Rows or names that a reason lists."""


class Faults:
    """The reasons why a table cannot be used, in the order in which they were found."""

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._reasons)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Adds a wrong setting of the block as a reason, instead of raising it."""
        try:
            yield
        except ConfigError as error:
            self.add(str(error))

    def add(self, reason: str, names: Iterable[object] = ()) -> None:
        """Adds one reason, with the names of what it is about."""
        self._reasons.append(reason + listed(list(map(str, names)), ": "))

    def rows(self, table: pandas.DataFrame, wrong: pandas.Series[bool], reason: str) -> None:
        """Adds a reason about the rows of a table that are wrong, if there are any.

        Args:
            table: The table; its index holds the lines of the file.
            wrong: One truth value a row.
            reason: What is wrong with these rows, and how to mend it.
        """
        count = int(wrong.sum())
        if count:
            lines = listed([f"{line:,}" for line in table.index[wrong]], "")
            self._reasons.append(
                f"{count:,} row{'s' * (count > 1)} (line{'s' * (count > 1)} {lines}): {reason}"
            )

    def check(self, source: str) -> None:
        """Raises all reasons in one error, if there are any.

        Raises:
            DatasetError: There is at least one reason.
        """
        if self._reasons:
            raise self.error(source)

    def error(self, source: str) -> DatasetError:
        """One error with all reasons."""
        count = len(self._reasons)
        head = f"{source} cannot be used, {count} problem{'s' * (count > 1)}:"
        return DatasetError("\n  ".join([head, *self._reasons]))


def several(typed: Iterable[str], present: Container[str]) -> str:
    """How several values are written, for ones that were typed with commas between them."""
    for text in typed:
        values = [value.strip() for value in re.split("[,;]", text)]
        if len(values) > 1 and all(value in present for value in values):
            return f"; several values are written {'|'.join(values)}"
    return ""


def listed(names: Sequence[str], before: str) -> str:
    """The first names, and the number of the others."""
    if not names:
        return ""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return before + ", ".join(names[:SHOWN]) + more
