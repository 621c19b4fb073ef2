"""Trackers: told of a run while it goes on; whatever they do, the run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zobench.files.files import Json
from zobench.registry.discovery import Registry

from .listener import Listener, Silence


@dataclass(frozen=True)
class TrackerRequest:
    """What a tracker is made with.

    Attributes:
        argument: What stood after the colon of its name.
        folder: The run folder; a tracker may keep files in a folder of its own name there.
    """

    argument: str
    folder: Path


class Tracker(Protocol):
    """Sends what a run does somewhere else. Rows are told when they are safe on disk, once each.

    Making one opens nothing and raises :class:`~zobench.errors.ConfigError` for what is missing.
    """

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Json]) -> None:
        """A run begins, or goes on after ``rows`` of its trace."""
        ...

    def rows(self, rows: Sequence[Json]) -> None:
        """More rows of the trace."""
        ...

    def snapshot(self, queries: int, path: Path) -> None:
        """An edit was kept, in a safetensors file."""
        ...

    def ended(self, status: str, result: Mapping[str, Any] | None) -> None:
        """The run ended; ``result`` is what ``zobench show --json`` prints, if it is done."""
        ...


class Trackers:
    """The trackers of one run; one that raises is told of, and switched off."""

    def __init__(
        self, trackers: Mapping[str, Tracker] | None = None, listener: Listener | None = None
    ) -> None:
        self._trackers, self._listener = dict(trackers or {}), listener or Silence()

    def tell(self, what: str, *arguments: Any) -> None:
        """Calls a method of each tracker that is still on."""
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, what)(*arguments)
            except Exception as error:  # somebody else's code and somebody else's server
                del self._trackers[name]
                self._listener.note(
                    f"tracker {name} failed at {what!r} and is switched off for this run: "
                    f"{type(error).__name__}: {error}"
                )


def make_trackers(
    names: Sequence[str], registry: Registry, folder: Path, listener: Listener
) -> Trackers:
    """The trackers that a user named, each ``name`` or ``name:argument``.

    Raises:
        ConfigError: Nobody offers one of them, or what it needs is not installed.
    """
    made: dict[str, Tracker] = {}
    for name in names:
        offer, argument = registry.find("trackers", name)
        made[name] = offer.plugin.make(TrackerRequest(argument, folder), {}, "tracker")
    return Trackers(made, listener)
