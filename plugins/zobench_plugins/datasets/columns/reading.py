"""Reads a table as texts by column, from CSV, TSV or parquet."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
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
    Columns without a name are not read.

    Args:
        path: The file.
        needed: Columns that must be there.
        others: Whether other columns are read, too. Without them a row may be blank, and lines are
            counted without blank ones.

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
            if "\r" in sample and "\n" not in sample:
                raise DatasetError(
                    f"{path} has lines that end in a carriage return alone; save it with line ends of "
                    "Unix or Windows"
                )
            delimiter = _delimiter(sample.partition("\n")[0])
            file.seek(0)
            header = next(csv.reader(file, delimiter=delimiter), [])
        names = [name.strip() for name in header]
        if not any(names):
            raise DatasetError(f"{path} has no header: its first line is blank")
        read = _columns(path, names, needed, others)
        lines, width = _lines(path, delimiter, len(names))
        # pandas wants a name for each column, and no name twice, also where a column is not read
        table = pandas.read_csv(
            path,
            sep=delimiter,
            header=0,
            names=[name if name in read else f"\0{place}" for place, name in enumerate(names)]
            + [f"\0{place}" for place in range(len(names), width)],
            usecols=read,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=not others,
            index_col=False,
        )
    except UnicodeDecodeError:
        raise _not_in_utf8(path) from None
    except pandas.errors.ParserError as error:
        words = " ".join(str(error).split())
        if "EOF inside string" in words:
            row = f"the row that begins in line {lines[-1]:,}" if lines else "the header"
            words = f"{row} has a quotation mark that is never closed"
        raise DatasetError(f"{path} cannot be read as a table: {words}") from error
    except (OSError, ValueError, csv.Error) as error:
        words = " ".join(str(error).split())
        raise DatasetError(f"{path} cannot be read as a table: {words}") from error
    known = lines is not None and len(lines) == len(table)
    table.index = lines if known else range(2, len(table) + 2)
    return table[~(table == "").all(axis=1)] if others else table


def _columns(path: Path, names: Sequence[str], needed: Sequence[str], others: bool) -> list[str]:
    """The columns to read.

    Raises:
        DatasetError: One that is needed is missing, or two have one name.
    """
    if missing := [name for name in needed if name not in names]:
        raise DatasetError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(name for name in names if name)}"
        )
    read = [name for name in names if name and (others or name in needed)]
    if twice := sorted({name for name in read if read.count(name) > 1}):
        raise DatasetError(f"{path} has several columns of one name: {', '.join(twice)}")
    return read


def _lines(path: Path, delimiter: str, width: int) -> tuple[Sequence[int] | None, int]:
    """The line of the file that each row begins in, and the most cells of a row.

    A quoted cell may hold line breaks. The lines are ``None`` where each row is one.

    Args:
        path: The file.
        delimiter: What is between two cells.
        width: The number of columns; cells beyond them must be blank.

    Raises:
        DatasetError: A row has more cells, or a cell is too long to be one.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        if all('"' not in line and line.count(delimiter) < width for line in file):
            return None, width  # in a tenth of the time
    starts, end, most = list[int](), 0, width
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            for row in reader:
                if any(cell.strip() for cell in row[width:]):
                    raise DatasetError(
                        f"{path} cannot be read as a table: its header names {width} "
                        f"column{'' if width == 1 else 's'}, but line {end + 1:,} has {len(row)} cells; "
                        f"a cell with {delimiter!r} in it needs quotation marks around it"
                    )
                most = max(most, len(row))
                starts.append(end + 1)
                end = reader.line_num
        except csv.Error as error:
            raise DatasetError(
                f"{path} cannot be read as a table: the row that begins in line {end + 1:,} has a cell "
                f"of more than {csv.field_size_limit():,} characters; perhaps a quotation mark is never "
                "closed"
            ) from error
    return starts[1:], most


def _not_in_utf8(path: Path) -> DatasetError:
    """An error that names the first byte that is wrong, counted from the beginning of the file."""
    content = path.read_bytes()
    found = "it changes while it is read"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte {error.start:,}, in line {line:,}, is 0x{content[error.start]:02x}"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = "it is in UTF-16, as spreadsheets save 'Unicode text'"
    return DatasetError(f"{path} is not in UTF-8 ({found}); save it as UTF-8")


def _delimiter(header: str) -> str:
    """The delimiter that splits the header into the most columns; a comma where none does."""
    counts = {
        delimiter: len(next(csv.reader([header], delimiter=delimiter), []))
        for delimiter in DELIMITERS
    }
    return max(counts, key=lambda delimiter: counts[delimiter])


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
    table.columns = [str(name).strip() for name in table.columns]
    table = table[_columns(path, list(table.columns), needed, others)]
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
