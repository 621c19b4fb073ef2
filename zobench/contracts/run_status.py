"""The status of a run."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """The status of a run, as stored in its manifest and shown in tables."""

    RUNNING = "running"
    """A process carries out the run, or was killed during the run."""
    INTERRUPTED = "interrupted"
    """Stopped on request; its state is saved."""
    FAILED = "failed"
    """Ended by an error; its state is saved."""
    DONE = "done"
    """All edits of the run are scored."""
