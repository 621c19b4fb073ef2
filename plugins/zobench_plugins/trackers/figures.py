"""What trackers send: the objective's values, each row of the trace once, and the scores at each end."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.contracts.tracker import TrackerRequest
from zobench.errors import ConfigError
from zobench.files.atomic import write_atomically

CURVES = ("value_min", "value_mean")
"""Columns of the trace that are sent."""


PRIVATE = ("data_root", "root", "url", "weights", "folder", "path", "template")
"""Names of settings that hold folders or addresses."""
NAMES = ("optimizer", "encoder", "dataset")
"""Settings whose text may end with a path after a colon: of it, the last part is sent."""
PLACE = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]+://|[A-Za-z]:\\|[/\\~]|\.{1,2}[/\\]|.*[/\\].*\.[A-Za-z0-9]+$"
)
"""The beginning of an address or of an absolute path, or a path to a file."""


def require(tracker: str, package: str, module: str = "") -> None:
    """Raises a :class:`ConfigError` if the package of a tracker is not installed."""
    if importlib.util.find_spec(module or package) is None:
        raise ConfigError(
            f"tracker {tracker} needs {package}: python -m pip install 'zobench[{tracker}]'"
        )


class Followed:
    """The trace rows that a tracker has sent to one destination, over all processes of a run."""

    def __init__(self, folder: Path, *destination: str) -> None:
        """Takes the tracker's folder in the run folder, and what tells the destination from others.

        Opens nothing yet.
        """
        told = os.fsencode("\n".join(destination))  # may hold a password
        digest = hashlib.sha256(told).hexdigest()
        self._file = folder / (f"queries-{digest[:12]}" if destination else "queries")

    def missed(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The rows that were not sent by an earlier process."""
        sent = int(self._file.read_text()) if self._file.exists() else -1
        return [row for row in rows if row["queries"] > sent]

    def sent(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Remembers that these rows were sent."""
        if rows:
            self._file.parent.mkdir(exist_ok=True)
            write_atomically(self._file, str(rows[-1]["queries"]).encode())


class Scores:
    """The scores to send: the objective, and the quantities that tables show."""

    def __init__(self, request: TrackerRequest) -> None:
        """Takes the declared quantities of a run."""
        self._names = [
            "objective",
            *(quantity.name for quantity in request.quantities if quantity.in_tables),
        ]

    def of(self, result: Mapping[str, Any] | None) -> Iterator[tuple[int, dict[str, float]]]:
        """Queries and scores of each row of a done run; nothing for ``None``."""
        for row in result["scores"] if result is not None else ():
            entries = {name: row[name] for name in self._names if name in row}
            values = {
                name: entry["value"] if isinstance(entry, Mapping) else entry
                for name, entry in entries.items()
            }
            yield (
                row["queries"],
                {name: value for name, value in values.items() if value is not None},
            )


def name_of(manifest: Mapping[str, Any]) -> str:
    """The run's id with the time when it began, because folders of two suites have the same names."""
    began = "".join(character for character in manifest["created"] if character.isdigit())[:14]
    return f"{manifest['run_id']}-{began}" if began else str(manifest["run_id"])


def settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run, and every parameter as ``OWNER.NAME``, defaults included.

    What tells of this machine or network is left out: folders, paths of files and addresses.
    """
    owners = manifest["parameters"].items()
    parameters = {f"{owner}.{name}": values[name] for owner, values in owners for name in values}
    fields = {name: setting for name, setting in manifest["config"].items() if name != "overrides"}
    named = {name: _without_folder(fields.pop(name)) for name in NAMES if name in fields}
    others = {
        name: value
        for name, value in {**fields, **parameters}.items()
        if name.rpartition(".")[2] not in PRIVATE and not _is_place(value)
    }
    return {**named, **others}


def _is_place(value: object) -> bool:
    return isinstance(value, str) and PLACE.match(value.strip()) is not None


def _without_folder(name: str) -> str:
    """A plugin's name; of a path after its last colon, the last part."""
    family, colon, argument = name.rpartition(":")
    if not _is_place(argument):
        return name
    return family + colon + re.split(r"[/\\]", argument.rstrip("/\\"))[-1]
