"""The tracker for TensorBoard, by tensorboardX: writes files to the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.contracts.tracker import TrackerRequest

from .figures import CURVES, Followed, Scores, require


class TensorBoard:
    """Objective and scores over queries, in ``<run>/tensorboard``."""

    def __init__(self, request: TrackerRequest) -> None:
        """Opens nothing yet.

        Raises:
            ConfigError: tensorboardX is not installed.
        """
        require("tensorboard", "tensorboardX")
        self._folder = request.folder / "tensorboard"
        self._followed, self._scores = Followed(self._folder), Scores(request)

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the config as text, and the rows that were not written by an earlier process."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self._folder))
        config = "\n".join(f"    {key}: {value}" for key, value in manifest["config"].items())
        self._writer.add_text("config", config)
        self.rows(self._followed.missed(rows))

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Values of the objective."""
        for row in rows:
            for name in CURVES:
                self._writer.add_scalar(f"optimize/{name}", row[name], row["queries"])
        self._writer.flush()
        self._followed.sent(rows)

    def snapshot(self, queries: int, path: Path) -> None:
        """The edit as a picture, grey where it is 0."""
        from safetensors.numpy import load_file

        edit = load_file(path)["edit"]
        size = float(abs(edit).max()) or 1.0
        self._writer.add_image("edit", 0.5 + 0.5 * edit / size, queries)

    def ended(self, status: RunStatus, result: Mapping[str, Any] | None) -> None:
        """Scores, if the run is done."""
        for queries, values in self._scores.of(result):
            for name, value in values.items():
                self._writer.add_scalar(f"score/{name}", value, queries)
        self._writer.close()
