"""The contract of a tracker, which sends a run's trace and results to an experiment tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .metric import Metric
from .run_status import RunStatus


@dataclass(frozen=True)
class TrackerRequest:
    """The inputs of a tracker.

    Attributes:
        argument: The text after the colon of the tracker's name.
        folder: The run folder; a tracker may keep files in a subfolder with the tracker's name.
        quantities: The declared quantities of a score, fairness per query and recovery first.
    """

    argument: str
    folder: Path
    quantities: Sequence[Metric] = ()


class Tracker(Protocol):
    """Receives the events of a run; each trace row is sent once, after it is safe on disk.

    The constructor opens nothing; a missing package raises :class:`~zobench.errors.ConfigError`.
    """

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Called when a run starts, or resumes after ``rows``; ``manifest`` is a JSON object."""
        ...

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Called with more rows of the trace."""
        ...

    def snapshot(self, queries: int, path: Path) -> None:
        """Called with ``path``, the safetensors file of the edit recommended after ``queries``."""
        ...

    def ended(self, status: RunStatus, result: Mapping[str, Any] | None) -> None:
        """Called at the end; ``result`` is the ``zobench show --json`` object of a done run."""
        ...
