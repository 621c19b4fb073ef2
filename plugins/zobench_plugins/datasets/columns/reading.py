"""Reads a table as texts by column, from CSV, TSV or parquet."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    import pandas

DELIMITERS = ",;\t|"
SAMPLE = 65_536
"""Characters from which the delimiter is told."""


def read_table(path: Path, needed: Sequence[str] = (), *, others: bool = True) -> pandas.DataFrame:
    """The rows of a table as texts without surrounding blanks, indexed by line of the file.

    An empty cell is an empty text. The first line of a parquet file is 2, as if it had a header.

    Args:
        path: The file.
        needed: Columns that must be there.
        others: Whether other columns are read, too.

    Raises:
        ConfigError: A parquet file needs a package that is not installed.
        DatasetError: The file cannot be read, has no row, lacks a column, or has two of one name.
    """
    read = _parquet if path.suffix.lower() == ".parquet" else _csv
    table = read(path, needed, others)
    if table.empty:
        raise DatasetError(f"{path} has no rows below its header")
    for name in table.columns:
        table[name] = table[name].str.strip()
    return table


def _csv(path: Path, needed: Sequence[str], others: bool) -> pandas.DataFrame:
    import pandas

    lines: Sequence[int] | None = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read(SAMPLE)
        header = sample.partition("\n")[0]
        if "\r" in sample and "\n" not in sample:
            raise DatasetError(
                f"{path} has lines that end in a carriage return alone; save it with line ends of Unix "
                "or Windows"
            )
        delimiter = _delimiter(header)
        names = _named_once(path, next(csv.reader([header], delimiter=delimiter), []))
        if not names:
            raise DatasetError(f"{path} has no header: its first line is empty")
        _require(needed, names, path)
        lines = _lines(path, delimiter, len(names))
        table = pandas.read_csv(
            path,
            sep=delimiter,
            names=names,
            usecols=None if others else list(needed),
            skiprows=1,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
            index_col=False,
        )
    except UnicodeDecodeError as error:
        found = f"byte {error.start:,} is 0x{error.object[error.start]:02x}"
        if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            found = "it is in UTF-16, as spreadsheets save 'Unicode text'"
        raise DatasetError(f"{path} is not in UTF-8 ({found}); save it as UTF-8") from error
    except pandas.errors.ParserError as error:
        words = " ".join(str(error).split())
        if lines and "EOF inside string" in words:
            words = f"a quotation mark in line {lines[-1]:,} is never closed"
        raise DatasetError(f"{path} cannot be read as a table: {words}") from error
    except (OSError, ValueError, csv.Error) as error:
        words = " ".join(str(error).split())
        raise DatasetError(f"{path} cannot be read as a table: {words}") from error
    known = lines is not None and len(lines) == len(table)
    table.index = lines if known else range(2, len(table) + 2)
    blank = (table == "").all(axis=1)
    return table[~blank]


def _lines(path: Path, delimiter: str, width: int) -> Sequence[int] | None:
    """The line of the file that each row begins in: a quoted cell may hold line breaks.

    ``None`` where each row is a line.

    Raises:
        DatasetError: A row has more cells than ``width``, the number of columns.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        plain = all('"' not in line and line.count(delimiter) < width for line in file)
    if plain:  # a tenth of the time
        return None
    starts, end = [], 0
    with path.open(encoding="utf-8-sig", newline="") as file, suppress(csv.Error):
        reader = csv.reader(file, delimiter=delimiter)
        for row in reader:
            if len(row) > width:
                raise DatasetError(
                    f"{path} cannot be read as a table: its header names {width} columns, but line "
                    f"{end + 1:,} has {len(row)} cells; a cell with {delimiter!r} in it needs quotation "
                    "marks around it"
                )
            starts.append(end + 1)
            end = reader.line_num
    return starts[1:]


def _named_once(path: Path, names: Sequence[str]) -> list[str]:
    """The names of the columns, without blanks around them.

    Raises:
        DatasetError: Two columns have one name.
    """
    stripped = [name.strip() for name in names]
    twice = sorted({name for name in stripped if stripped.count(name) > 1})
    if twice:
        raise DatasetError(f"{path} has several columns of one name: {', '.join(twice)}")
    return stripped


def _delimiter(header: str) -> str:
    """The delimiter that splits the header into the most columns; a comma where none does."""
    counts = {
        delimiter: len(next(csv.reader([header], delimiter=delimiter), []))
        for delimiter in DELIMITERS
    }
    return max(counts, key=lambda delimiter: counts[delimiter])


def _require(needed: Sequence[str], names: Sequence[str], path: Path) -> None:
    if missing := [name for name in needed if name not in names]:
        raise DatasetError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(names)}"
        )


def _parquet(path: Path, needed: Sequence[str], others: bool) -> pandas.DataFrame:
    import pandas

    try:
        table = pandas.read_parquet(path)
    except ImportError as error:
        raise ConfigError(
            f"{path} is a parquet file, which needs pyarrow: python -m pip install 'zobench[parquet]'"
        ) from error
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise DatasetError(f"{path} is not a readable parquet file: {words}") from error
    if table.index.names != [None]:
        table = table.reset_index()  # columns that pandas stored as the index
    table.columns = _named_once(path, list(map(str, table.columns)))
    _require(needed, list(table.columns), path)
    if not others:
        table = table[list(needed)]
    objects = {name: table[name].astype(object) for name in table}
    texts = {
        name: column.map(_text, na_action="ignore").fillna("") for name, column in objects.items()
    }
    return pandas.DataFrame(texts).astype(str).set_axis(range(2, len(table) + 2))


def _text(value: object) -> str:
    """A parquet value as a CSV file would show it; whole numbers have no point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
