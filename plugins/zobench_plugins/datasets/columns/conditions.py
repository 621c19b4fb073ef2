"""Conditions on the columns of a table: ``view==PA``, ``age>=65``, ``dx in mel|bcc|akiec``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zobench.contracts.parameters import NUMBER, cut, nearest
from zobench.errors import ConfigError

if TYPE_CHECKING:
    import pandas

FORM = re.compile(
    r"\s*(?P<column>.+?)\s*(?P<operator>==|!=|>=|<=|>|<|\s(?:not )?in\s)\s*(?P<values>.*)"
)
JOIN = re.compile(r"\s+and\s+", re.IGNORECASE)
OPPOSITE = {
    "==": "!=",
    "!=": "==",
    ">=": "<",
    "<": ">=",
    ">": "<=",
    "<=": ">",
    "in": "not in",
    "not in": "in",
}
ORDERED = (">=", "<=", ">", "<")


@dataclass(frozen=True)
class Condition:
    """A condition on one column.

    Attributes:
        column: The name of the column.
        operator: A key of :data:`OPPOSITE`.
        values: The values compared with; one, except for ``in`` and ``not in``.
    """

    column: str
    operator: str
    values: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether numbers are compared by size."""
        return self.operator in ORDERED

    @property
    def text(self) -> str:
        """The condition as it is typed."""
        space = " " if "in" in self.operator else ""
        return f"{self.column}{space}{self.operator}{space}{'|'.join(self.values)}"

    @property
    def opposite(self) -> Condition:
        """The condition that holds where this one does not."""
        return Condition(self.column, OPPOSITE[self.operator], self.values)

    def holds(self, table: pandas.DataFrame) -> pandas.Series[float]:
        """1 where the condition holds and 0 where not; NaN where the column is blank or no number."""
        import pandas

        column = table[self.column]
        if self.ordered:
            numbers = pandas.to_numeric(column, errors="coerce")
            bound = float(self.values[0])
            compared = {
                ">=": numbers >= bound,
                "<=": numbers <= bound,
                ">": numbers > bound,
                "<": numbers < bound,
            }[self.operator]
            return compared.astype("float").where(numbers.notna())
        inside = column.isin(self.values)
        if self.operator in ("!=", "not in"):
            inside = ~inside
        return inside.astype("float").where(column != "")


def parsed(setting: str, text: str, columns: Iterable[str]) -> Condition:
    """The condition in a text.

    Args:
        setting: The name of the setting, for messages.
        text: The text.
        columns: The columns of the table.

    Raises:
        ConfigError: The text is no condition, or the table has no such column.
    """
    found = FORM.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{setting} is {cut(text)}, but a condition is written column==value, column>=number or "
            "column in value|value"
        )
    operator = found["operator"].strip()
    column = existing(setting, found["column"], columns)
    values = tuple(each.strip() for each in found["values"].split("|"))
    if "in" not in operator and len(values) > 1:
        raise ConfigError(f"{setting} is {cut(text)}, but several values need 'in' or 'not in'")
    if operator in ORDERED and not NUMBER.fullmatch(values[0]):
        raise ConfigError(f"{setting} is {cut(text)}, but {operator} compares with a number")
    return Condition(column, operator, values)


def parsed_all(setting: str, text: str, columns: Iterable[str]) -> list[Condition]:
    """The conditions in a text, joined by ``and``; none in an empty text."""
    known = list(columns)
    return (
        [parsed(setting, each, known) for each in JOIN.split(text.strip())] if text.strip() else []
    )


def is_condition(text: str) -> bool:
    """Whether a text has the form of a condition, and not of a column's name."""
    return FORM.fullmatch(text) is not None


def existing(setting: str, name: str, columns: Iterable[str]) -> str:
    """The column of a name, in any spelling of its capitals.

    Raises:
        ConfigError: The table has no such column.
    """
    known = list(columns)
    if name in known:
        return name
    alike = [each for each in known if each.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    raise ConfigError(
        f"{setting} names the column {cut(name)}{nearest(name, known)}, but the table has "
        f"{', '.join(known) or 'no column'}"
    )
