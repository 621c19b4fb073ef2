"""Where the table of a folder is."""

from __future__ import annotations

from pathlib import Path

from zobench.errors import ConfigError
from zobench.paths import expanded

from ..columns.faults import listed

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")


def find_table(root: Path | None, name: str) -> tuple[Path, Path]:
    """The folder of the dataset, and the file of the table.

    Raises:
        ConfigError: There is no such folder or file, or no telling which file it is.
    """
    if root is None:
        raise ConfigError("dataset table needs --data-root: the folder of the table and the images")
    if not root.is_dir():
        hint = "; give its folder, and name the table with --set dataset.file=NAME"
        raise ConfigError(
            f"--data-root is {str(root)!r}, which is not a folder{hint if root.is_file() else ''}"
        )
    if name:
        path = root / expanded(name)
        if not path.is_file():
            raise ConfigError(f"dataset.file is {name!r}, but {path} is not a file")
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"dataset.file is {name!r}, but must be a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} "
                "file"
            )
        return root, path
    files = sorted(
        file for file in root.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()
    )
    tables = [file for file in files if file.suffix.lower() != ".txt"] or files
    if len(tables) != 1:
        names = listed([table.name for table in tables], ": ")
        raise ConfigError(
            f"--data-root is {str(root)!r}, which holds {len(tables) or 'no'} tables{names}; name the "
            "table with --set dataset.file=…"
        )
    return root, tables[0]
