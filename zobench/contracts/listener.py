"""The contract of a listener: the console, a file or a test, told of a run's progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

ReportProgress = Callable[[int, int], None]
"""Called with (done, total) while something long goes on."""


def silent(done: int, total: int) -> None:
    """A :data:`ReportProgress` that does nothing."""


class Listener(Protocol):
    """Told of the phases of a run, of progress in them, and of notes for the user."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins that is ``total`` units long; 0 where the length is not known."""
        ...

    def update(self, done: int, **figures: float) -> None:
        """``done`` units of the phase are over; figures such as ``objective`` or ``recovery``."""
        ...

    def note(self, text: str) -> None:
        """A line that the user must not miss; may come from another thread than the other calls."""
        ...


class Silence:
    """A listener that does nothing."""

    def phase(self, name: str, total: int) -> None:
        """Does nothing."""

    def update(self, done: int, **figures: float) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""
