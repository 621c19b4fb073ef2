"""Finds runs in folders, and chooses those that are meant."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError, NotARunError
from zobench.files.location import Location
from zobench.registry.discovery import Registry

from . import layout
from .stored_run import StoredRun


def find_runs(locations: Sequence[Location]) -> list[Location]:
    """The run folders at or directly below the locations, in order and without duplicates.

    Raises:
        NotARunError: A place is neither a run folder nor holds one.
    """
    runs: dict[Path, Location] = {}
    for place in locations:
        inside = layout.run_folders(place.path)
        if not inside:
            exists = ": it is a file" if place.path.exists() else ": there is no such folder"
            lack = "" if place.path.is_dir() else exists
            raise NotARunError(
                f"{place} is no run folder and holds none{lack}; name a run folder or a folder of "
                f"runs{layout.meant_below(place.path)}"
            )
        for folder in inside:
            run = place if folder == place.path else place / folder.name
            runs.setdefault(folder.resolve(), run)
    return list(runs.values())


def read_runs(locations: Sequence[Location], registry: Registry) -> list[StoredRun]:
    """All runs at or right below locations; a run that vanishes meanwhile is left out.

    Args:
        locations: Run folders, and folders of run folders.
        registry: The plugins whose metrics are shown.

    Returns:
        The runs; those of one label stand together.

    Raises:
        StoreError: A place holds no run, or a run is damaged.
    """
    by_label: dict[str, list[StoredRun]] = {}
    for place in find_runs(locations):
        with suppress(NotARunError):
            run = StoredRun(place, registry)
            by_label.setdefault(run.label, []).append(run)
    if not by_label:
        raise NotARunError(f"no run is left in {', '.join(map(str, locations))}")
    return [run for runs in by_label.values() for run in runs]


def meant_label(text: str, labels: Sequence[str]) -> str:
    """The label that is equal to a text, or the only one that begins with it.

    Raises:
        ConfigError: No label, or several, begin so; the message lists them.
    """
    if text in labels:
        return text
    begun = sorted(label for label in labels if label.startswith(text))
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise ConfigError(f"{len(begun)} labels begin with {text!r}: {', '.join(begun)}; name one")
    there = ", ".join(sorted(labels))
    raise ConfigError(f"no run of {text!r} there{nearest(text, labels)}; there are: {there}")
