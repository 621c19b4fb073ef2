"""The contract of a listener, such as the console or a file, that receives a run's progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

ReportProgress = Callable[[int, int], None]
"""Called with (units done, units in total) during a long operation."""


def silent(done: int, total: int) -> None:
    """A :data:`ReportProgress` that does nothing."""


class Listener(Protocol):
    """Receives the phases of a run, the progress of each phase, and notes for the user."""

    def phase(self, name: str, total: int) -> None:
        """Called when a phase of ``total`` units begins; ``total`` is 0 if it is unknown."""
        ...

    def update(self, done: int, **figures: float) -> None:
        """Called when ``done`` units are finished; figures are e.g. ``objective``, ``recovery``."""
        ...

    def note(self, text: str) -> None:
        """Called with a line that the user must see; the call may come from any thread."""
        ...


class Silence:
    """A listener that does nothing."""

    def phase(self, name: str, total: int) -> None:
        """Does nothing."""

    def update(self, done: int, **figures: float) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""
