"""The tracker for Weights & Biases, by wandb; ``WANDB_MODE=offline`` keeps all in the run folder.

Key, server, team and mode come from wandb's own environment variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.contracts.tracker import TrackerRequest

from .figures import CURVES, Followed, Scores, name_of, require, settings

PROJECT = "zobench"


class WeightsAndBiases:
    """Objective and scores over queries in the project that the argument names.

    A resumed run goes on with the same id. wandb keeps its files in ``<run>/wandb``; nothing of the
    machine and nothing of the terminal is sent.
    """

    def __init__(self, request: TrackerRequest) -> None:
        """Opens nothing yet.

        Raises:
            ConfigError: wandb is not installed.
        """
        require("wandb", "wandb")
        self._project, self._folder = request.argument or PROJECT, request.folder
        self._scores = Scores(request)

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Opens the run with its settings, and sends the rows that no earlier process sent."""
        import wandb

        self._run = wandb.init(
            project=self._project,
            id=name_of(manifest),
            name=manifest["run_id"],
            resume="allow",
            reinit="create_new",  # a run of the user's own script stays its own
            dir=str(self._folder),
            config=settings(manifest),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        there = (self._run.settings.base_url, self._run.entity, self._run.project)
        self._followed = Followed(self._folder / "wandb", *map(str, there))
        self._run.define_metric("queries")
        self._run.define_metric("*", step_metric="queries")
        self.rows(self._followed.missed(rows))

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Values of the objective."""
        for row in rows:
            values = {f"optimize/{name}": row[name] for name in CURVES}
            self._run.log({"queries": row["queries"], **values})
        self._followed.sent(rows)

    def snapshot(self, queries: int, path: Path) -> None:
        """Nothing; the edits stay in the run folder."""

    def ended(self, status: RunStatus, result: Mapping[str, Any] | None) -> None:
        """Scores and verdict of a done run; waits until all is sent."""
        import wandb

        for queries, values in self._scores.of(result):
            named = {f"score/{name}": value for name, value in values.items()}
            self._run.log({"queries": queries, **named})
            self._run.summary.update(named)
        if result is not None:
            self._run.summary["verdict"] = result["verdict"]["text"]
        self._run.finish(exit_code=0 if status is RunStatus.DONE else 1)
        if wandb.run is None:  # the user's script has no run of its own
            wandb.teardown()  # ends wandb's process, and takes its variable out of the environment
