"""Conditions on the columns of a table: ``view==PA``, ``age>=65``, ``dx in mel|bcc|akiec``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zobench.contracts.parameters import NUMBER, cut, nearest
from zobench.errors import ConfigError

from .ages import age_strings
from .faults import listed, several

if TYPE_CHECKING:
    import pandas

OPERATOR = r"\s*(==|!=|>=|<=|>|<|(?<=\s)(?:not\s+)?in(?=\s))\s*"
FORM = re.compile(rf"(?P<column>.+?){OPERATOR}(?P<values>.*)")
REST = re.compile(rf"{OPERATOR}(?P<values>.*)")
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
        """1 where the condition holds and 0 where not; NaN where the column is blank or no number.

        By size, DICOM's age strings compare in years: ``018M`` is 1.5.

        Raises:
            ConfigError: A value that is compared with is in no row.
        """
        import pandas

        column = table[self.column]
        if self.ordered:
            numbers = pandas.to_numeric(column, errors="coerce").fillna(age_strings(column))
            bound = float(self.values[0])
            compared = {
                ">=": numbers >= bound,
                "<=": numbers <= bound,
                ">": numbers > bound,
                "<": numbers < bound,
            }[self.operator]
            return compared.astype("float").where(numbers.notna())
        plain = _plain(column)
        wanted = list(_plain(pandas.Series(self.values, dtype=str)))
        counts = column[column != ""].value_counts()
        unknown = [
            typed
            for typed, comparable in zip(self.values, wanted, strict=True)
            if comparable not in set(plain)
        ]
        if unknown:
            there = listed([f"{value} ({count:,})" for value, count in counts.items()], "; it has ")
            raise ConfigError(
                f"the condition {self.text} names {', '.join(map(repr, unknown))}, which no row of "
                f"column {self.column!r} has{several(unknown, set(plain))}{there}"
            )
        inside = plain.isin(wanted)
        if self.operator in ("!=", "not in"):
            inside = ~inside
        return inside.astype("float").where(column != "")


def _plain(column: pandas.Series[str]) -> pandas.Series[str]:
    """Values as they are compared: ``1.0`` is ``1``."""
    return column.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)


def parsed(setting: str, text: str, columns: Iterable[str]) -> Condition:
    """The condition in a text.

    Args:
        setting: The name of the setting, for messages.
        text: The text.
        columns: The columns of the table.

    Raises:
        ConfigError: The text is no condition, or the table has no such column.
    """
    names = list(columns)
    name, operator, listed_values = _split(setting, text, names)
    column = existing(setting, name, names)
    values = tuple(part.strip() for part in listed_values.split("|"))
    if not all(values):
        raise ConfigError(
            f"{setting} is {cut(text)}, but a condition needs a value after {operator}"
        )
    if "in" not in operator and len(values) > 1:
        raise ConfigError(f"{setting} is {cut(text)}, but several values need 'in' or 'not in'")
    if operator in ORDERED and not NUMBER.fullmatch(values[0]):
        joined = "; conditions are joined by 'and' alone" if " " in values[0] else ""
        raise ConfigError(
            f"{setting} is {cut(text)}, but {operator} compares with a number, not with "
            f"{cut(values[0])}{joined}"
        )
    return Condition(column, operator, values)


def _split(setting: str, text: str, columns: list[str]) -> tuple[str, str, str]:
    """Column, operator and values; a column of the table may itself hold an operator."""
    for name in sorted(columns, key=len, reverse=True):
        if text.strip().lower().startswith(name.lower()):
            rest = REST.fullmatch(text.strip()[len(name) :])
            if rest is not None:
                return name, " ".join(rest[1].split()), rest["values"]
    match = FORM.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"{setting} is {cut(text)}, but a condition is written column==value, column>=number or "
            "column in value|value"
        )
    return match["column"], " ".join(match[2].split()), match["values"]


def parsed_all(setting: str, text: str, columns: Iterable[str]) -> list[Condition]:
    """The conditions in a text, joined by ``and``; none in an empty text.

    A value may hold the word itself, as in ``race==Black and Brown``: a piece that is no condition
    belongs to the value before it.
    """
    names = list(columns)
    pieces: list[str] = []
    for piece in _pieces(text.strip(), names):
        if pieces and FORM.fullmatch(piece) is None:
            pieces[-1] = f"{pieces[-1]} and {piece}"
        else:
            pieces.append(piece)
    return [parsed(setting, part, names) for part in pieces]


def _pieces(text: str, columns: Sequence[str]) -> list[str]:
    """The text cut at each ``and`` that is not part of a column's name before an operator."""
    names = sorted((column for column in columns if JOIN.search(column)), key=len, reverse=True)
    column = re.compile(rf"(?:{'|'.join(map(re.escape, names))})(?={OPERATOR})", re.IGNORECASE)
    pieces, start = [], 0
    while text:
        named = column.match(text, start) if names else None
        join = JOIN.search(text, start if named is None else named.end())
        pieces.append(text[start : join and join.start()])
        if join is None:
            break
        start = join.end()
    return pieces


def is_condition(text: str, columns: Iterable[str]) -> bool:
    """Whether a text has the form of a condition, and is not the name of a column."""
    named = text.strip().lower() in {column.lower() for column in columns}
    return not named and FORM.fullmatch(text.strip()) is not None


def existing(setting: str, name: str, columns: Iterable[str]) -> str:
    """The column of a name, in any spelling of its capitals.

    Raises:
        ConfigError: The table has no such column, or several that differ in capitals only.
    """
    names = list(columns)
    if name in names:
        return name
    alike = [column for column in names if column.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    raise ConfigError(
        f"{setting} names the column {cut(name)}{_meant(name, names)}, but the table has "
        f"{', '.join(names) or 'no column'}; name one of them: --set {setting}=…"
    )


def _meant(name: str, columns: list[str]) -> str:
    """A guess at what was meant by a name that no column has."""
    column, equals, value = name.partition("=")
    column, value = column.strip(), value.strip()
    if equals and column in columns:
        return f" (did you mean {column}=={value}?)"
    return nearest(name, columns)
