"""The sensitive attribute of a table's rows: a column with two values, or a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zobench.contracts.parameters import cut
from zobench.errors import ConfigError

from .conditions import existing, is_condition, parsed
from .faults import listed

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Attribute:
    """Two groups of rows.

    Attributes:
        codes: 0 and 1 by row, NaN where neither group holds.
        other: Rows with a value of neither group; the others without a code are blank.
        groups: Names of the groups 0 and 1.
        varies: Whether two images of one patient may be in different groups, as by age.
    """

    codes: pandas.Series[float]
    other: pandas.Series[bool]
    groups: tuple[str, str]
    varies: bool


def divided(table: pandas.DataFrame, sensitive: str, group: str) -> Attribute:
    """The groups of a table's rows.

    Args:
        table: Columns of texts, blank where unknown.
        sensitive: The name of a column, or a condition such as ``age>=65``, which is group 1.
        group: The column's two values as ``a|b``, in the order of the groups; empty for a column that
            has only two.

    Raises:
        ConfigError: There is no such column, or not two values are named or found.
    """
    columns = list(table.columns)
    if is_condition(sensitive, columns):
        condition = parsed("dataset.sensitive", sensitive, columns)
        if group:
            raise ConfigError(
                f"dataset.group is {cut(group)}, but dataset.sensitive={sensitive} is a condition, "
                "which names both groups; leave dataset.group out"
            )
        names = (condition.opposite.text, condition.text)
        codes = condition.holds(table)
        return Attribute(codes, codes.isna() & False, names, condition.ordered)
    column = existing("dataset.sensitive", sensitive, columns)
    values = table[column]
    chosen = _two_values(column, values, group)
    codes = values.map({chosen[0]: 0.0, chosen[1]: 1.0})
    return Attribute(codes, codes.isna() & (values != ""), chosen, varies=False)


def _two_values(column: str, values: pandas.Series[str], group: str) -> tuple[str, str]:
    counts = values[values != ""].value_counts()
    counted = listed([f"{value} ({count:,})" for value, count in counts.items()], ", which has ")
    if not group:
        if len(counts) != 2:
            raise ConfigError(
                f"dataset.sensitive is {column!r}{counted or ', which is blank'}; name the two groups "
                "to compare, without all other rows: --set 'dataset.group=A|B', or the values of one "
                f"group, against all others: --set 'dataset.sensitive={column} in A|B'"
            )
        first, second = sorted(map(str, counts.index))
        return first, second
    names = [part.strip() for part in group.split("|")]
    if len(names) != 2 or names[0] == names[1] or not all(names):
        raise ConfigError(
            f"dataset.group is {cut(group)}, but must be two values with | between them, in the order "
            "of the groups a=0 and a=1"
        )
    unknown = [name for name in names if name not in counts.index]
    if unknown:
        raise ConfigError(
            f"dataset.group names {', '.join(map(repr, unknown))}, but no row of column "
            f"{column!r}{counted} has it"
        )
    return names[0], names[1]
