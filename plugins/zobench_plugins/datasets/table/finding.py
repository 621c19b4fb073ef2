"""The finding of a table's rows: a column with values that mean it, or a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zobench.config import RunConfig
from zobench.contracts.parameters import cut, nearest
from zobench.errors import ConfigError

from ..columns.conditions import existing, is_condition, parsed
from ..columns.faults import listed, several
from .parameters import TableParameters

if TYPE_CHECKING:
    import pandas

POSITIVE, NEGATIVE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
"""Values, in any capitals, of a column that says yes or no."""


@dataclass(frozen=True)
class Finding:
    """Labels of rows.

    Attributes:
        codes: 1 with the finding, 0 without it, NaN for neither.
        other: Rows whose value is neither; the others without a code are blank.
    """

    codes: pandas.Series[float]
    other: pandas.Series[bool]


def labelled(table: pandas.DataFrame, disease: str, parameters: TableParameters) -> Finding:
    """The labels of a table's rows.

    Args:
        table: Texts by column, blank where unknown.
        disease: The finding, as typed; its column, where ``dataset.label`` names none.
        parameters: The settings.

    Raises:
        ConfigError: A column or a value is not there, or the finding has no name of its own.
    """
    columns = list(table.columns)
    if parameters.label:
        _check_name(disease, parameters)
    if is_condition(parameters.label, columns):
        if parameters.positive or parameters.negative:
            raise ConfigError(
                f"dataset.label is {cut(parameters.label)}, a condition, which says what is positive; "
                "leave dataset.positive and dataset.negative out"
            )
        codes = parsed("dataset.label", parameters.label, columns).holds(table)
        return Finding(codes, codes.isna() & False)
    column = finding_column(disease, parameters.label, columns)
    return _by_values(table[column], column, parameters)


def finding_column(disease: str, label: str, columns: list[str]) -> str:
    """The column of the finding: the one that ``label`` names, else the one of the disease's name.

    Raises:
        ConfigError: There is no such column.
    """
    return existing("dataset.label", label, columns) if label else _named_like(disease, columns)


def _check_name(disease: str, parameters: TableParameters) -> None:
    """Refuses the default name for a finding of another column: results would name a wrong one."""
    words = f"{parameters.label} {parameters.positive}".lower()
    if disease == RunConfig.disease and disease not in words:
        raise ConfigError(
            f"the finding of dataset.label={parameters.label} needs a name for the results: --disease "
            "NAME, e.g. --disease malignant"
        )


def _named_like(disease: str, columns: list[str]) -> str:
    plain = {_plain(column): column for column in reversed(columns)}
    if _plain(disease) not in plain:
        raise ConfigError(
            f"disease is {cut(disease)}{nearest(disease, columns)}, but the table has no such column; "
            "name the finding's column with --set dataset.label=…; there are " + ", ".join(columns)
        )
    return plain[_plain(disease)]


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


def _by_values(values: pandas.Series[str], column: str, parameters: TableParameters) -> Finding:
    counts = values[values != ""].value_counts()
    counted = listed([f"{value} ({count:,})" for value, count in counts.items()], "; it has ")
    positive, negative = _split(parameters.positive), _split(parameters.negative)
    if negative and not positive:
        raise ConfigError(
            f"dataset.negative is {cut(parameters.negative)}, but dataset.positive is empty; name "
            "both, or positive alone"
        )
    if not positive:
        lower = values.str.lower()
        yes, no = lower.isin(POSITIVE), lower.isin(NEGATIVE)
        if bool((yes | no | (values == "")).all()):
            codes = yes.astype("float").where(yes | no)
            return Finding(codes, codes.isna() & False)
        raise ConfigError(
            f"column {column!r} of the finding is not 1 and 0, true and false or yes and no{counted}; "
            "say which values are the finding: --set 'dataset.positive=A|B'"
        )
    unknown = [value for value in (*positive, *negative) if value not in counts.index]
    if unknown:
        raise ConfigError(
            f"dataset.positive or dataset.negative names {', '.join(map(repr, unknown))}, which no row "
            f"of column {column!r} has{several(unknown, counts.index)}{counted}"
        )
    if set(positive) & set(negative):
        raise ConfigError("dataset.positive and dataset.negative have a value in common")
    inside = values.isin(positive)
    compared = inside | (values.isin(negative) if negative else values != "")
    codes = inside.astype("float").where(compared)
    return Finding(codes, codes.isna() & (values != ""))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split("|")] if text.strip() else []
