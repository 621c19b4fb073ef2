"""The tracker for TensorBoard, by tensorboardX: writes files to the run folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.contracts.tracker import TrackerRequest
from zobench.errors import ConfigError
from zobench.files.atomic import write_atomically

CURVES = ("value_min", "value_mean")


class TensorBoard:
    """Objective and scores over queries, in ``<run>/tensorboard``."""

    def __init__(self, request: TrackerRequest) -> None:
        """Opens nothing yet.

        Raises:
            ConfigError: tensorboardX is not installed.
        """
        if importlib.util.find_spec("tensorboardX") is None:
            raise ConfigError(
                "tracker tensorboard needs tensorboardX: "
                "python -m pip install 'zobench[tensorboard]'"
            )
        self._folder = request.folder / "tensorboard"
        self._followed = self._folder / "queries"
        shown = [each.name for each in request.quantities if each.in_tables]
        self._scores = ["objective", *shown]

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the config as text, and the rows that were not written by an earlier process."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self._folder))
        config = "\n".join(f"    {key}: {value}" for key, value in manifest["config"].items())
        self._writer.add_text("config", config)
        followed = int(self._followed.read_text()) if self._followed.exists() else -1
        self.rows([row for row in rows if row["queries"] > followed])

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Values of the objective."""
        for row in rows:
            for name in CURVES:
                self._writer.add_scalar(f"optimize/{name}", row[name], row["queries"])
        self._writer.flush()
        if rows:
            write_atomically(self._followed, str(rows[-1]["queries"]).encode())

    def snapshot(self, queries: int, path: Path) -> None:
        """The edit as a picture, grey where it is 0."""
        from safetensors.numpy import load_file

        edit = load_file(path)["edit"]
        size = float(abs(edit).max()) or 1.0
        self._writer.add_image("edit", 0.5 + 0.5 * edit / size, queries)

    def ended(self, status: RunStatus, result: Mapping[str, Any] | None) -> None:
        """Scores, if the run is done."""
        for row in result["scores"] if result is not None else ():
            for name in (each for each in self._scores if each in row):
                value = row[name]["value"] if isinstance(row[name], Mapping) else row[name]
                if value is not None:
                    self._writer.add_scalar(f"score/{name}", value, row["queries"])
        self._writer.close()
