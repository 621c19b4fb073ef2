"""Runs a recorded run's optimizer anew on its record, without the encoder."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from zobench.contracts.handover import taken_ask, taken_point
from zobench.errors import ConfigError
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .parts import make_optimizer, resolve_plugin
from .recorder import RecordedOracle


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    Attributes:
        asks: Asks answered from the record.
        queries: Queries that they cost when they were recorded.
        same_edit: Whether the optimizer recommends the edit that the run ended with.
    """

    asks: int
    queries: int
    same_edit: bool


def replay_run(place: str | os.PathLike[str], *, registry: Registry | None = None) -> Replay:
    """Runs a recorded run's optimizer anew on its record; needs no encoder.

    Args:
        place: A run folder, recorded with ``--record``.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: The run was not recorded or is not done, or the optimizer asks something else.
    """
    oracle, run = RecordedOracle(place), StoredRun(place)
    if not run.done:
        raise ConfigError(f"{run.location} is {run.status}; zobench resume it first")
    config, registry = oracle.config, registry or load_registry()
    overrides = config.overrides.get("optimizer", {})
    plugin = resolve_plugin("optimizer", config.optimizer, overrides, registry)
    optimizer = make_optimizer(config, plugin, oracle.space)
    for _ in run.trace:
        ask = optimizer.ask()
        taken = taken_ask(ask, config.optimizer, oracle.space.shape, optimizer.feedback)
        optimizer.tell(ask, oracle.query(taken))
    point = taken_point(optimizer.recommend(), config.optimizer, oracle.space.shape)
    edit = oracle.space.decode(point[None])[0]
    same = bool(run.snapshots) and bool(torch.equal(edit, run.edit(run.snapshots[-1])))
    return Replay(len(run.trace), oracle.queries, same)
