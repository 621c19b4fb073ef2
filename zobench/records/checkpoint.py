"""The checkpoint of a run: its state between two asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zobench.files.atomic import damage
from zobench.files.location import Location
from zobench.files.tensor_files import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

STATES = ("optimizer", "objective")
"""The fields of a checkpoint that are the states of plugins."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two asks.

    Attributes:
        asks: The number of trace rows that the checkpoint covers.
        optimizer: The optimizer's state.
        counts: The ledger's counts of ``optimize``.
        encoder_seconds: Time spent in the encoder while optimizing.
        wall_seconds: Total wall time of the run so far.
        objective: The state of an objective that learns; empty for others.
        rows: The number of rows that the checkpoint covers and the checksum of the last one, by
            file of rows.
        snapshots: Checksums of the snapshots that the checkpoint covers, by query count.
        local: The ledger's counts of ``local``; empty where the optimizer borrows no encoder.
        ended_by: The limit that ended the optimizer, and its value; empty while it goes on.
    """

    asks: int
    optimizer: Mapping[str, Tensor | int | float | str]
    counts: Mapping[str, int]
    encoder_seconds: float
    wall_seconds: float
    objective: Mapping[str, Tensor | int | float | str] = field(default_factory=dict)
    rows: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    snapshots: Mapping[int, str] = field(default_factory=dict)
    local: Mapping[str, int] = field(default_factory=dict)
    ended_by: Mapping[str, float | str] = field(default_factory=dict)


def write_checkpoint(place: Location, state: Checkpoint) -> None:
    """Replaces the checkpoint in a file.

    Raises:
        StoreError: The checkpoint cannot be written.
    """
    from torch import Tensor

    states = {name: getattr(state, name) for name in STATES}
    tensors = {
        f"{owner}/{name}": value
        for owner, values in states.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    notes = {
        "asks": state.asks,
        **{
            owner: {name: entry for name, entry in values.items() if not isinstance(entry, Tensor)}
            for owner, values in states.items()
        },
        "counts": dict(state.counts),
        "encoder_seconds": state.encoder_seconds,
        "wall_seconds": state.wall_seconds,
        "rows": dict(state.rows),
        "snapshots": {str(queries): digest for queries, digest in state.snapshots.items()},
        "local": dict(state.local),
        "ended_by": dict(state.ended_by),
    }
    write_tensors(place, tensors, notes)


def read_checkpoint(place: Location) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        DamagedError: The content is not what was written.
        StoreError: The file cannot be read.
    """
    tensors, notes = read_tensors(place)
    with damage(place):
        states: dict[str, Any] = {owner: dict(notes[owner]) for owner in STATES}
        for name, tensor in tensors.items():
            owner, _, entry = name.partition("/")
            states[owner][entry] = tensor
        return Checkpoint(
            asks=notes["asks"],
            **states,
            counts=notes["counts"],
            encoder_seconds=notes["encoder_seconds"],
            wall_seconds=notes["wall_seconds"],
            rows={name: (int(count), str(end)) for name, (count, end) in notes["rows"].items()},
            snapshots={int(queries): digest for queries, digest in notes["snapshots"].items()},
            local=notes.get("local", {}),
            ended_by=notes.get("ended_by", {}),
        )
