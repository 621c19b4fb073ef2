"""The contract of a tracker: sends what a run does to a program for experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .metric import Metric
from .run_status import RunStatus


@dataclass(frozen=True)
class TrackerRequest:
    """What a tracker is made with.

    Attributes:
        argument: The text after the colon of the tracker's name.
        folder: The run folder; a tracker may keep files in a folder of its own name there.
        quantities: The declared quantities of a score, fairness per query and recovery first.
    """

    argument: str
    folder: Path
    quantities: Sequence[Metric] = ()


class Tracker(Protocol):
    """Told of a run; each row is told once, when it is safe on disk.

    Making a tracker opens nothing and raises :class:`~zobench.errors.ConfigError` for what is missing.
    """

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """A run begins, or goes on after ``rows`` of its trace; ``manifest`` is its JSON."""
        ...

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """More rows of the trace."""
        ...

    def snapshot(self, queries: int, path: Path) -> None:
        """The edit recommended after ``queries`` lies in the safetensors file ``path``."""
        ...

    def ended(self, status: RunStatus, result: Mapping[str, Any] | None) -> None:
        """The run ended; ``result`` is what ``zobench show --json`` prints, if it is done."""
        ...
