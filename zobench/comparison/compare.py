"""Compares runs, or two optimizers among runs, by their places."""

from __future__ import annotations

from collections.abc import Mapping

from zobench.files.location import Location
from zobench.records.stored_run import read_runs
from zobench.registry.discovery import Registry, load_registry

from .pairs import Comparison, compare_runs


def compare_places(
    a: Location,
    b: Location,
    *,
    optimizer_a: str | None = None,
    optimizer_b: str | None = None,
    margins: Mapping[str, float] | None = None,
    registry: Registry | None = None,
) -> Comparison:
    """Compares the runs at two places, paired by problem and seed.

    Args:
        a: The reference: a run folder, or a folder of runs.
        b: The runs that may be better.
        optimizer_a: Only runs of the optimizer with this label in A.
        optimizer_b: Only runs of the optimizer with this label in B.
        margins: By quantity, the loss at which B is still no worse.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: There is nothing to compare, or runs differ in a condition.
        StoreError: A place holds no run, or a run is damaged.
    """
    registry = registry or load_registry()
    one, other = read_runs([a], registry, optimizer_a), read_runs([b], registry, optimizer_b)
    return compare_runs(one, other, margins)
