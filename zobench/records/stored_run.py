"""Runs as statistics see them, read from their folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig, config_from_json
from zobench.errors import ConfigError, NotARunError, StoreError
from zobench.measures.group_rates import SIGNED
from zobench.measures.interval import Interval
from zobench.measures.resampling import Resamples
from zobench.statistics.runtimes import first_success

from . import run_folder as store
from .identity import label, problem
from .result import read_scores, resampled, stored_ledger

Floats = NDArray[np.float64]

HIGHER_IS_BETTER = {
    "fpq": True,
    "recovery": True,
    "eo_n": False,
    "eo_p": False,
    "di_gap_tpr": False,
    "di_gap": False,
    "accuracy": True,
    "worst_group": True,
    "auc": True,
}
"""What runs are compared in, and which way it points."""


SHARES = ("fpq", "recovery")
"""Metrics of which 1 is all; the others are percent."""
RATIOS = ("di_gap", "di_gap_tpr")
"""Percent that may pass 100."""


def possible(interval: Interval, name: str) -> Interval:
    """Student's interval does not know that a rate lies between 0 and 100 %, and a gap above 0."""
    least, most = (-inf, 1.0) if name in SHARES else (0.0, inf if name in RATIOS else 100.0)
    return replace(interval, low=max(interval.low, least), high=min(interval.high, most))


@dataclass(frozen=True)
class Measured:
    """A run, finished or not.

    Attributes:
        folder: Where it lies.
        status: ``running``, ``interrupted``, ``failed`` or ``done``.
        label: Of the optimizer, see :func:`zobench.records.identity.label`.
        problem: See :func:`zobench.records.identity.problem`.
        config: What was asked for.
        manifest: Everything recorded.
        spent: Queries that the optimizer has spent.
        resamples: What its scored snapshots are worth; ``None`` before any is scored.
    """

    folder: Path
    status: str
    label: str
    problem: str
    config: RunConfig
    manifest: Mapping[str, Any]
    spent: int
    resamples: Resamples | None

    @property
    def known(self) -> int:
        """Queries up to which its recovery is known: all it has spent, or its last scored snapshot."""
        if self.status == "done":
            return self.spent
        return self.resamples.queries[-1] if self.resamples is not None else 0

    @property
    def counts(self) -> bool:
        """Whether it tells anything of runtimes: it has ended, or a snapshot of it is scored."""
        return self.status in ("done", "failed") or self.known > 0

    @property
    def charged(self) -> int:
        """Queries that it costs where it does not reach a target: a failure counts in full."""
        return self.spent if self.status == "failed" else self.known

    def reached(self, target: float) -> int | None:
        """Queries of the first scored snapshot with that recovery; ``None`` if there is none."""
        if self.resamples is None:
            return None
        recoveries = self.resamples.recovery[1:, 0].tolist()
        return first_success(self.resamples.queries[1:], recoveries, target)

    def metric(self, name: str) -> Floats:
        """A number ``(R + 1,)``, the data first: FPQ, or that of the last scored snapshot.

        Raises:
            ValueError: Nothing is scored.
        """
        if self.resamples is None:
            raise ValueError(f"{self.folder} has no scores")
        if name == "fpq":
            return self.resamples.fpq
        if name == "recovery":
            last: Floats = self.resamples.recovery[-1]
            return last
        values: Floats = self.resamples.metrics[name][-1]
        unsigned: Floats = np.abs(values)
        return unsigned if name in SIGNED else values


def measure(folder: Path, *, auc: bool = True) -> Measured:
    """Reads a run.

    Args:
        folder: A run folder.
        auc: Whether to compute the AUC, which takes most of the time.

    Raises:
        StoreError: It is no run folder, is damaged, or was written by a newer zobench.
    """
    manifest = store.read_whole_manifest(folder)
    config = config_from_json(manifest["config"])
    raws, test = read_scores(folder)
    found = None
    if not raws and manifest["status"] == "done":
        raise StoreError(
            f"{folder} is done, but {store.SCORES} is missing or empty; restore it from a copy, or "
            "delete the folder and run it anew"
        )
    if raws:
        found = resampled(raws, test, config, config.replicates, auc)
    return Measured(
        folder=folder,
        status=manifest["status"],
        label=label(manifest["config"], manifest["parameters"]),
        problem=problem(manifest["config"], manifest["parameters"]),
        config=config,
        manifest=manifest,
        spent=stored_ledger(folder, manifest, config)["optimize"]["queries"],
        resamples=found,
    )


def run_folders(paths: Iterable[Path]) -> list[Path]:
    """Run folders among paths, or right below them; each once, in order.

    Raises:
        NotARunError: A path is neither a run folder nor holds one.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = store.run_folders(path)
        if not inside:
            raise NotARunError(f"{path} is no run folder and holds none")
        found |= dict.fromkeys(inside)
    return list(found)


def measure_all(paths: Iterable[Path], wanted: str | None = None) -> list[Measured]:
    """All runs at or right below paths; a run that vanishes meanwhile is left out.

    Args:
        paths: Run folders, and folders of run folders.
        wanted: Only runs of the optimizer with this label.

    Raises:
        StoreError: A path holds no run, or a run is damaged.
        ConfigError: There is no run of that optimizer.
    """
    found, others = [], set()
    for folder in run_folders(paths):
        with suppress(NotARunError):
            manifest = store.read_whole_manifest(folder)
            name = label(manifest["config"], manifest["parameters"])
            if wanted in (None, name):
                found.append(measure(folder))
            others.add(name)
    if not found:
        raise ConfigError(f"no run of {wanted!r} there; there are: {', '.join(sorted(others))}")
    return found
