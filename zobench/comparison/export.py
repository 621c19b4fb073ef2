"""Exports tables as CSV files, or as parquet files if pyarrow is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.errors import ConfigError, StoreError
from zobench.files.atomic import replaced, require_free

if TYPE_CHECKING:
    from pandas import DataFrame

SUFFIXES = (".csv", ".parquet")


def check_target(path: Path, force: bool = False) -> None:
    """Checks before the work starts that a table can be exported to ``path``.

    Raises:
        ConfigError: The name does not end in one of ``SUFFIXES``, the file exists and ``force`` is
            not set, its folder does not exist, or a parquet file is asked for without pyarrow.
    """
    import importlib.util

    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"{path} ends in {path.suffix!r}, but must end in {' or '.join(SUFFIXES)}"
        )
    require_free(path, force=force)
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            "parquet needs pyarrow: python -m pip install 'zobench[parquet]', or name a .csv file "
            "instead"
        )


def write_table(path: Path, rows: Sequence[Mapping[str, object]] | DataFrame) -> None:
    """Writes a table.

    Args:
        path: The file, whose suffix is one of ``SUFFIXES``.
        rows: One mapping a row, all with the same keys; or a table whose texts are UTF-8.

    Raises:
        StoreError: The file cannot be written; a file of that name stays as it was.
    """
    from pandas import DataFrame

    if not path.parent.is_dir():
        raise StoreError(f"cannot write {path}: {path.parent} is not a folder")
    frame = (
        rows
        if isinstance(rows, DataFrame)
        else DataFrame([{name: as_utf8(value) for name, value in row.items()} for row in rows])
    )
    with replaced(path) as draft:
        if path.suffix == ".parquet":
            frame.to_parquet(draft, index=False)
        else:
            frame.to_csv(draft, index=False)


def as_utf8(value: object) -> object:
    """A value of a cell; in a text, such as a folder's name, what is not UTF-8 becomes ``?``."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
