"""Reads runs from two locations and compares them; used by ``zobench compare``."""

from __future__ import annotations

from collections.abc import Mapping

from zobench.files.location import Location
from zobench.registry.discovery import Registry, load_registry

from .baseline_runs import read_side
from .pairs import Comparison, compare_runs


def compare_locations(
    a: Location,
    b: Location,
    *,
    optimizer_a: str | None = None,
    optimizer_b: str | None = None,
    margins: Mapping[str, float] | None = None,
    registry: Registry | None = None,
) -> Comparison:
    """Compares the runs at two locations, paired by problem and seed.

    Args:
        a: The reference: a run folder, or a folder of runs.
        b: The candidate: a run folder, or a folder of runs.
        optimizer_a: Label of the optimizer to read from A, or ``method:NAME`` for a no-query
            baseline of its runs; all optimizers if ``None``.
        optimizer_b: The same for B.
        margins: Largest loss of B that still counts as no worse, by name of the quantity.
        registry: The registered plugins; all installed plugins if ``None``.

    Raises:
        ConfigError: No run of A has a partner in B, no run has the optimizer label, or paired runs
            differ in a condition.
        StoreError: A location holds no run, or a run is damaged.
    """
    registry = registry or load_registry()
    one, other = (
        read_side(place, label, registry) for place, label in ((a, optimizer_a), (b, optimizer_b))
    )
    return compare_runs(one, other, margins)
