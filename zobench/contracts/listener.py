"""Who is told of progress: the console, or nobody."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Told what a run is doing."""

    def phase(self, name: str, total: int) -> None:
        """A new phase begins, ``total`` units long."""
        ...

    def update(self, done: int, **figures: float) -> None:
        """``done`` units of the phase are over; figures such as ``objective`` or ``recovery``."""
        ...

    def note(self, text: str) -> None:
        """Something that the user must not miss; may come from another thread than the rest."""
        ...


class Silence:
    """A listener that does nothing."""

    def phase(self, name: str, total: int) -> None:
        """Does nothing."""

    def update(self, done: int, **figures: float) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""
