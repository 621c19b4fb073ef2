"""Reads runs from two locations and compares them; used by ``zobench compare``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zobench.errors import ConfigError
from zobench.files.location import Location
from zobench.records.run_search import meant_label, read_runs
from zobench.records.selection import ANY, Choice, cautions, most_finished, without_repetitions
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .all_pairs import LevelRanking, rank_all, unranked
from .baseline_runs import PREFIX, BaselineRun, read_side
from .pairs import Comparison, compare_runs


def compare_locations(
    a: Location,
    b: Location,
    *,
    optimizer_a: str | None = None,
    optimizer_b: str | None = None,
    margins: Mapping[str, float] | None = None,
    choice: Choice = ANY,
    note: Callable[[str], None] = lambda text: None,
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
        choice: Which runs of both sides are meant.
        note: Receives a sentence on runs that were left out, because only the group of which
            most are done is taken.
        registry: The registered plugins; all installed plugins if ``None``.

    Raises:
        ConfigError: No run of A has a partner in B, no run has the optimizer label, or paired runs
            differ in a condition.
        StoreError: A location holds no run, or a run is damaged.
    """
    registry = registry or load_registry()
    one, other = (
        read_side(place, label, registry, choice)
        for place, label in ((a, optimizer_a), (b, optimizer_b))
    )
    return compare_runs(*_comparable(one, other, note), margins)


def rank_location(
    place: Location,
    *,
    optimizer: str | None = None,
    choice: Choice = ANY,
    note: Callable[[str], None] = lambda text: None,
    registry: Registry | None = None,
) -> list[LevelRanking]:
    """Compares every two optimizers with runs at a location.

    Args:
        place: A folder of runs.
        optimizer: Only pairs with this optimizer; every two if ``None``.
        choice: Which runs are meant.
        note: Receives a sentence on runs that were left out, or had not the budget of the others.
        registry: The registered plugins; all installed plugins if ``None``.

    Raises:
        ConfigError: No feedback level has two optimizers, no run fulfils the conditions, or a no-query
            baseline is given as the optimizer.
        StoreError: The location holds no run, or a run is damaged.
    """
    if optimizer is not None and optimizer.startswith(PREFIX):
        raise ConfigError(
            f"{optimizer} is no optimizer of a feedback level; compare it with one: --a {optimizer} --b "
            "LABEL"
        )
    runs = choice.of(read_runs([place], registry or load_registry()))
    kept, notes = most_finished(runs)
    once, more = without_repetitions(kept)
    for sentence in (*notes, *more, *cautions(once)):
        note(sentence)
    label = (
        None if optimizer is None else meant_label(optimizer, sorted({run.label for run in once}))
    )
    rankings = rank_all(once, label)
    for sentence in unranked(once, rankings) if label is None else []:
        note(sentence)
    return rankings


def _comparable(
    one: Sequence[StoredRun], other: Sequence[StoredRun], note: Callable[[str], None]
) -> tuple[list[StoredRun], list[StoredRun]]:
    """The group of which most are done, of both sides; as they are if a side would be left empty."""
    first, second = ({id(run) for run in side} for side in (one, other))

    def partners(group: Sequence[StoredRun]) -> int:
        return min(sum(id(run) in side for run in group) for side in (first, second))

    kept, notes = most_finished([*one, *other], partners)
    sides = [
        [run for run in side if any(run is member for member in kept)] for side in (one, other)
    ]
    if not all(sides):
        sides, notes = [list(one), list(other)], []
    both = []
    for side in sides:
        once, more = without_repetitions(side)
        both.append(once)
        if not isinstance(side[0], BaselineRun):  # all optimizers' runs have the same baselines
            notes += more
    for sentence in notes:
        note(sentence)
    return both[0], both[1]
