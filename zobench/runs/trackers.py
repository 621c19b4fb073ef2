"""The trackers of one run; the run goes on whatever a tracker does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.contracts.listener import Listener, Silence
from zobench.contracts.tracker import Tracker, TrackerRequest
from zobench.measures.recovery import FPQ, RECOVERY
from zobench.registry.discovery import Registry


class Trackers:
    """Several trackers; one that raises is switched off, and the listener is told."""

    def __init__(
        self, trackers: Mapping[str, Tracker] | None = None, listener: Listener | None = None
    ) -> None:
        self._trackers, self._listener = dict(trackers or {}), listener or Silence()

    def __bool__(self) -> bool:
        return bool(self._trackers)

    def tell(self, event: str, *arguments: Any) -> None:
        """Calls the method ``event`` of each tracker that is still on."""
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, event)(*arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # somebody else's code and somebody else's server
                del self._trackers[name]
                self._listener.note(
                    f"tracker {name} failed at {event!r} and is switched off for this run: "
                    f"{type(error).__name__}: {error}"
                )


def make_trackers(
    names: Sequence[str], registry: Registry, folder: Path, listener: Listener
) -> Trackers:
    """The trackers that a user named, each ``name`` or ``name:argument``.

    Raises:
        ConfigError: No plugin has that name, or a package that it needs is not installed.
    """
    made: dict[str, Tracker] = {}
    for name in names:
        offer, argument = registry.find("trackers", name)
        request = TrackerRequest(argument, folder, (FPQ, RECOVERY, *registry.metrics))
        made[name] = offer.plugin.make(request, {}, "tracker")
    return Trackers(made, listener)
