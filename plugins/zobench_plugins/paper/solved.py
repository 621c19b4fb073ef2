"""The result of a method on one problem, and the small file that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig, config_from_json
from zobench.contracts.method import MethodResult
from zobench.contracts.metric import Metric, Predictions
from zobench.files.atomic import damage, damaged
from zobench.files.json_files import read_json, write_json
from zobench.measures.group_rates import compute
from zobench.measures.patient_bootstrap import ScoredImages, bootstrap_weights
from zobench.records.layout import SCHEMA


@dataclass(frozen=True)
class Solved:
    """The result of a method with the labels of the test images.

    Attributes:
        method: The name of the method.
        config: The request for the problem.
        result: Scores, ledger and notes of the method.
        test: Labels of the test images.
    """

    method: str
    config: RunConfig
    result: MethodResult
    test: ScoredImages

    def values(self, metric: Metric, replicates: int | None = None) -> NDArray[np.float64]:
        """A metric ``(R + 1,)`` with its sign: on the test patients, then on R resamples of them.

        The resamples are those for a mean over seeds, as a stored run gives them by default.
        """
        count = self.config.replicates if replicates is None else replicates
        weights = bootstrap_weights(self.test, self.config.seed, count)
        scores = np.asarray(self.result.scores)
        predictions = Predictions(scores, self.test.label, self.test.sensitive)
        return compute(metric, predictions, weights, in_means=True)


def read_solved(path: Path) -> Solved:
    """Reads the result of a method from its file.

    Raises:
        DamagedError: The file is damaged.
    """
    content = read_json(path)
    if content.get("file") != path.name:
        raise damaged(path, "it is the result of another file")
    with damage(path):
        result = MethodResult(tuple(content["scores"]), content["ledger"], content["notes"])
        columns = {
            name: np.asarray(value, dtype=np.int64) for name, value in content["test"].items()
        }
        config = config_from_json(content["config"])
        return Solved(content["method"], config, result, ScoredImages(**columns))


def write_solved(path: Path, solved: Solved, parameters: Mapping[str, Any]) -> None:
    """Writes the result of a method, with the method's parameters, to its file."""
    content = {
        "schema": SCHEMA,
        "file": path.name,
        "method": solved.method,
        "parameters": dict(parameters),
        "config": solved.config.as_dict(),
        "scores": list(solved.result.scores),
        "ledger": solved.result.ledger,
        "notes": dict(solved.result.notes),
        "test": {name: column.tolist() for name, column in vars(solved.test).items()},
    }
    write_json(path, content)
