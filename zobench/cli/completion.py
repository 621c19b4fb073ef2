"""What a shell offers to complete: names of plugins, tasks and run folders; never an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zobench.registry.discovery import Kind

Complete = Callable[[str], list[tuple[str, str]]]
MOST = 200
"""Most folders that are offered."""


def plugins(kind: Kind) -> Complete:
    """Completes names of plugins, with their summaries; a family ends with a colon."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        from zobench.errors import ZobenchError
        from zobench.registry.discovery import load_registry

        try:
            offers = load_registry(note=lambda _: None).offers[kind].values()
        except ZobenchError:
            return []
        names = [
            (f"{offer.name}:" if not offer.plugin.takes("") else offer.name, offer.plugin.summary)
            for offer in offers
        ]
        return [pair for pair in names if pair[0].startswith(incomplete)]

    return complete


def suites(incomplete: str) -> list[tuple[str, str]]:
    """Completes names of the suites that come with zobench."""
    from zobench.suite.named_suites import named_suites

    return [(name, "") for name in named_suites() if name.startswith(incomplete)]


def runs(incomplete: str) -> list[tuple[str, str]]:
    """Completes folders in the folder that is typed; those that are no run end with a slash."""
    from zobench.records.layout import is_run

    head, slash, begun = incomplete.rpartition("/")
    try:
        inside = sorted(folder for folder in Path(head + slash or ".").iterdir() if folder.is_dir())
    except OSError:
        return []
    fitting = [folder for folder in inside if folder.name.startswith(begun)][:MOST]
    return [
        (f"{head}{slash}{folder.name}{'' if is_run(folder) else '/'}", "") for folder in fitting
    ]
