"""Replays the beginning of a stored run and compares it with the trace: can the result be trusted?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from zobench.files import files
from zobench.records import run_folder as store
from zobench.billing.account import close_and_tell
from .parts import make_parts
from zobench.config import config_from_json
from zobench.errors import ConfigError, Interrupted
from .lifecycle import check_same
from .shared_results import Groundwork
from zobench.registry.discovery import Registry, load_registry
from zobench.contracts.listener import Listener, Silence
from .phases import Session
from .result_cache import SharedResults

COUNTS = ("ask", "queries", "forward", "backward", "evaluations")
VALUES = ("value_min", "value_mean")
TOLERANCE = 1e-4
"""Relative difference up to which other hardware may round otherwise."""


@dataclass(frozen=True)
class Verification:
    """What a replay found.

    Attributes:
        asks: Asks that were replayed.
        queries: Queries that they cost.
        snapshots: Snapshots among them.
        difference: Largest relative difference of a value or a snapshot from what is stored; 0 means
            the same to the last bit.
        first: The first ask that differs by more than :data:`TOLERANCE`; 0 if none does.
    """

    asks: int
    queries: int
    snapshots: int
    difference: float
    first: int

    @property
    def holds(self) -> bool:
        """Whether the stored run is what its config makes."""
        return self.first == 0 and self.difference <= TOLERANCE


def verify_run(
    path: Path,
    queries: int,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    encoder_url: str | None = None,
) -> Verification:
    """Runs a stored run's config anew until ``queries`` are spent, and compares.

    The run's folder is only read. Shared results are not used for its setup embeddings: they are
    computed and compared, too.

    Args:
        path: A run folder.
        queries: How many to replay at least; more than the run has spent is all of it.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.
        encoder_url: Where a rented encoder is now; ``None`` if where it was.

    Raises:
        ConfigError: Nothing is stored yet, or encoder, data or parameters are not what they were.
        ZobenchError: See :mod:`zobench.errors`.
    """
    listener = listener or Silence()
    manifest = store.read_whole_manifest(path)
    stored = files.read_rows(path / store.TRACE)
    if not stored:
        raise ConfigError(f"{path} has no trace yet, so there is nothing to verify")
    config = config_from_json(manifest["config"])
    if encoder_url is not None:
        config = config.with_settings("encoder", url=encoder_url)
    parts = make_parts(
        config, registry or load_registry(), listener, manifest["encoder"]["settings"]
    )
    try:
        check_same(manifest, parts, path, listener)
        enough = min(queries, stored[-1]["queries"])
        with TemporaryDirectory() as folder:
            replayed = store.RunFolder(Path(folder))
            session = Session(config, parts, replayed, listener)
            nothing = SharedResults(Path(folder) / "shared")  # so all is computed
            session.groundwork = Groundwork(session.encoder, nothing)
            # all of a run that is done ends by itself, with its last snapshot
            part = enough < stored[-1]["queries"] or manifest["status"] != "done"
            session.stopped = lambda: part and session.ledger.optimize.queries >= enough
            with suppress(Interrupted):  # enough is as good as all of it
                session.optimize(session.prepare())
            replayed.close()
            return _compared(path, stored, Path(folder), done=manifest["status"] == "done")
    finally:
        close_and_tell(parts.encoder, listener)


def _compared(path: Path, stored: list[files.Json], folder: Path, *, done: bool) -> Verification:
    rows = files.read_rows(folder / store.TRACE)[: len(stored)]
    setup = [files.read_tensors(each / store.SETUP)[0]["clean"].numpy() for each in (path, folder)]
    largest, first = _difference(*setup), 0
    for before, now in zip(stored, rows, strict=False):
        off = max(_difference(np.array(before[name]), np.array(now[name])) for name in VALUES)
        if any(before[name] != now[name] for name in COUNTS):
            off = np.inf
        largest = max(largest, off)
        if off > TOLERANCE and not first:
            first = now["ask"]
    due = {each for each in store.snapshot_queries(folder) if each <= rows[-1]["queries"]}
    common = due & set(store.snapshot_queries(path))
    if done and common != due:
        largest = np.inf  # one is missing
    for queries in common:
        edits = [store.read_snapshot(each, queries).numpy() for each in (path, folder)]
        largest = max(largest, _difference(*edits))
    return Verification(len(rows), rows[-1]["queries"], len(common), float(largest), first)


def _difference(before: NDArray[np.floating], now: NDArray[np.floating]) -> float:
    """Largest absolute difference, relative to the largest value."""
    if before.shape != now.shape:
        return float("inf")
    size = max(float(np.abs(before).max()), float(np.abs(now).max()))
    return float(np.abs(before - now).max()) / size if size else 0.0
