"""The tracker for MLflow; ``MLFLOW_TRACKING_URI`` names the server, as everywhere in MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.contracts.tracker import TrackerRequest

from .figures import CURVES, Followed, Scores, name_of, require, settings

EXPERIMENT = "zobench"
TAG = "zobench.run"
"""The tag that holds the run's id, by which a resumed run is found."""

BATCH = 1000
"""Metrics of one request; a server takes no more."""

STATUS = {RunStatus.DONE: "FINISHED", RunStatus.INTERRUPTED: "KILLED", RunStatus.FAILED: "FAILED"}

Values = tuple[int, Mapping[str, float]]
"""Queries, and values by name."""


class MlflowServer:
    """Objective and scores over queries in the experiment that the argument names.

    A resumed run goes on with the same run of the server.
    """

    def __init__(self, request: TrackerRequest) -> None:
        """Opens nothing yet.

        Raises:
            ConfigError: MLflow is not installed.
        """
        require("mlflow", "mlflow-skinny", module="mlflow")
        self._experiment = request.argument or EXPERIMENT
        self._folder, self._scores = request.folder / "mlflow", Scores(request)

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Finds or makes the run with its settings, and sends the rows that no earlier process sent."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client, name = MlflowClient(), name_of(manifest)
        self._followed = Followed(self._folder, self._client.tracking_uri, self._experiment)
        experiment, missed = self._experiment_id(), rows
        matches = self._client.search_runs([experiment], f"tags.`{TAG}` = '{name}'", max_results=1)
        if matches:
            self._id = matches[0].info.run_id
            self._client.update_run(self._id, "RUNNING")
            missed = self._followed.missed(rows)
        else:
            self._id = self._client.create_run(
                experiment, tags={TAG: name}, run_name=manifest["run_id"]
            ).info.run_id
            parameters = [Param(key, str(value)) for key, value in settings(manifest).items()]
            self._client.log_batch(self._id, params=parameters)
        self.rows(missed)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Values of the objective."""
        self._send(
            (row["queries"], {f"optimize/{name}": row[name] for name in CURVES}) for row in rows
        )
        self._followed.sent(rows)

    def snapshot(self, queries: int, path: Path) -> None:
        """Nothing; the edits stay in the run folder."""

    def ended(self, status: RunStatus, result: Mapping[str, Any] | None) -> None:
        """Scores and verdict of a done run, and how it ended."""
        self._send(
            (queries, {f"score/{name}": value for name, value in values.items()})
            for queries, values in self._scores.of(result)
        )
        if result is not None:
            self._client.set_tag(self._id, "zobench.verdict", result["verdict"]["text"])
        self._client.set_terminated(self._id, STATUS[status])

    def _experiment_id(self) -> str:
        """The experiment, which is made if it is not there."""
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            try:
                return str(self._client.create_experiment(self._experiment))
            except MlflowException:  # another run has made it meanwhile
                experiment = self._client.get_experiment_by_name(self._experiment)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def _send(self, figures: Iterable[Values]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(name, value, now, queries)
            for queries, values in figures
            for name, value in values.items()
        ]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self._id, metrics=metrics[start : start + BATCH])
