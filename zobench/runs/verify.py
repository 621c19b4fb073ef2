"""Replays the beginning of a stored run with its encoder and compares it with the trace."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from zobench.billing.account import check_service, close_and_tell
from zobench.contracts.listener import Listener, Silence
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError, Interrupted
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.records.run_folder import RunFolder
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .parts import Parts, make_parts
from .phases import optimize, prepare
from .process import open_account
from .resolved import of_a_stored_run, resolve_config
from .result_cache import ResultCache
from .resuming import check_same
from .shared_results import SharedResults

COUNTS = ("ask", "queries", "forward", "backward", "evaluations")
VALUES = ("value_min", "value_mean")
TOLERANCE = 1e-4
"""Largest relative difference that counts as rounding on different hardware."""


UP = 1e9
"""A time that is up, in seconds, on the clock of a replay, which otherwise stands at 0."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        asks: Number of replayed asks.
        queries: Queries that the replayed asks cost.
        snapshots: Number of snapshots that were compared.
        difference: Largest relative difference between stored and replayed values, snapshots and
            clean embeddings; infinite if counts differ or a snapshot is missing; 0 if all agree.
        first: The first ask that differs by more than :data:`TOLERANCE`; 0 if none does.
    """

    asks: int
    queries: int
    snapshots: int
    difference: float
    first: int

    @property
    def holds(self) -> bool:
        """Whether the replay agrees with the stored run up to :data:`TOLERANCE`."""
        return self.first == 0 and self.difference <= TOLERANCE


def verify_run(
    place: str | os.PathLike[str],
    queries: int,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    encoder_url: str | None = None,
) -> Verification:
    """Replays a stored run until at least ``queries`` are spent, and compares the results.

    The run folder is only read. The cache of shared results is not used: the clean embeddings are
    computed again and compared, too.

    Args:
        place: A run folder.
        queries: Least number of queries to replay; the whole run if it spent fewer.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        encoder_url: New URL of a rented encoder; ``None`` if the URL has not changed.

    Raises:
        ConfigError: The trace is empty, or encoder, data, parameters, device or precision differ
            from those of the run.
        ModelChanged: A service changed during the replay.
        ZobenchError: See :mod:`zobench.errors`.
    """
    listener, run = listener or Silence(), StoredRun(place)
    config = run.config
    if not run.trace:
        raise ConfigError(f"{run.location} has no trace yet, so there is nothing to verify")
    if encoder_url is not None:
        config = config.with_settings("encoder", url=encoder_url)
    registry = registry or load_registry()
    with of_a_stored_run(run.manifest, registry):
        resolved = resolve_config(config, registry)
    if (outlook := resolved.encoder.outlook) is not None:
        setup, least = run.manifest.split.train, min(queries, run.spent)
        checks = outlook.checks(setup + least)
        listener.note(
            f"{config.encoder} will be sent: setup {setup:,} + optimize {least:,}"
            f"{f' + check ≤ {checks:,}' if checks else ''} images, or one batch more"
        )
    parts = make_parts(config, registry, listener, run.manifest)
    try:
        check_same(run.manifest, parts, run.location, listener)
        with TemporaryDirectory() as name:
            _replay(parts, Path(name), min(queries, run.spent), run, listener)
            check_service(parts.encoder)
            return _compared(run, StoredRun(name))
    finally:
        for encoder in parts.encoders:
            close_and_tell(encoder, listener)


def _replay(parts: Parts, path: Path, enough: int, run: StoredRun, listener: Listener) -> None:
    """Carries out the beginning of a run in another folder, with an empty cache of results.

    Neither time nor cost ends the replay, which may be slower or dearer than the run was. Where
    anything but the budget ended the run, time is up after as many queries as the run spent. An
    extended run is replayed as it was carried out, with each of its budgets in turn; time is up where
    one was extended, so that the edit recommended there is stored, too.
    """
    ledger = Ledger(parts.config.backward_cost)
    parts = _limited(parts, max_cost=0.0)
    # the full replay of a finished run is not stopped, so that it writes its last snapshot
    part = enough < run.spent or not run.done
    ended = run.done and run.manifest.ended_by != "budget"
    last = run.spent if ended else math.inf
    ends = [(extension["queries"], extension["budget"]) for extension in run.manifest.extended]
    stages = [*ends, (last, parts.config.budget)]

    def clock(end: float) -> float:
        return UP if ledger.optimize.queries >= end else 0.0

    def stopped() -> bool:
        return part and ledger.optimize.queries >= enough

    folder = RunFolder(path)
    folder.write_manifest(run.manifest.changed(status=RunStatus.RUNNING, files={}))
    try:
        encoder = MeteredEncoder(
            parts.encoder, ledger, open_account(parts, folder, listener, ledger)
        )
        shared = SharedResults(ResultCache(path / "shared"))
        prepared = prepare(parts, encoder, folder, shared, listener, stopped)
        for number, (end, budget) in enumerate(stages):
            with suppress(Interrupted):
                optimize(
                    # a stage whose limit of time has the value of the one before would be over
                    _limited(parts, budget=budget, max_time=UP - number if end < math.inf else 0.0),
                    prepared,
                    encoder,
                    folder,
                    listener,
                    clock=partial(clock, end),
                    stopped=stopped,
                    checkpoint=folder.restore(),
                )
            if stopped():
                break
    finally:
        folder.close()


def _limited(parts: Parts, **limits: float) -> Parts:
    """The same parts with other limits of the run."""
    config = parts.config.changed(**limits)
    return replace(parts, resolved=replace(parts.resolved, config=config))


def _compared(run: StoredRun, replayed: StoredRun) -> Verification:
    rows = replayed.trace[: len(run.trace)]
    setups = [side.files.setup for side in (run, replayed)]
    clean = [setup.clean for setup in setups if setup is not None]
    largest, first = _difference(*clean) if len(clean) == 2 else np.inf, 0
    for before, now in zip(run.trace, rows, strict=False):
        off = max(_difference(np.array(before[name]), np.array(now[name])) for name in VALUES)
        if any(before[name] != now[name] for name in COUNTS):
            off = np.inf
        largest = max(largest, off)
        if off > TOLERANCE and not first:
            first = now["ask"]
    due = {queries for queries in replayed.snapshots if queries <= rows[-1]["queries"]}
    common = due & set(run.snapshots)
    if run.done and common != due:
        largest = np.inf  # the stored run lacks a snapshot
    for queries in common:
        edits = [side.edit_after(queries).numpy() for side in (run, replayed)]
        largest = max(largest, _difference(*edits))
    return Verification(len(rows), rows[-1]["queries"], len(common), float(largest), first)


def _difference(before: NDArray[np.floating], now: NDArray[np.floating]) -> float:
    """Largest absolute difference over largest absolute value; infinite if the shapes differ."""
    if before.shape != now.shape:
        return float("inf")
    size = max(float(np.abs(before).max()), float(np.abs(now).max()))
    return float(np.abs(before - now).max()) / size if size else 0.0
