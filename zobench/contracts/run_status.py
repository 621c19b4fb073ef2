"""How a run stands."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """How a run stands, as its manifest says and tables show."""

    RUNNING = "running"
    """A process is at it, or was killed at it."""
    INTERRUPTED = "interrupted"
    """Stopped on request; its state is saved."""
    FAILED = "failed"
    """Ended by an error; its state is saved."""
    DONE = "done"
    """Everything is scored."""
