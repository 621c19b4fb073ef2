"""Compares two groups of runs, paired by problem and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError
from zobench.measures.interval import interval
from zobench.measures.recovery import FPQ
from zobench.records.comparability import require_comparable, require_same_conditions
from zobench.records.selection import cautions
from zobench.records.stored_run import StoredRun
from zobench.statistics.differences import Difference, difference

from .baseline_runs import BaselineRun
from .margins import require_margins

ENOUGH_SEEDS = 5
"""Fewest seeds without a note on wide intervals."""
MOST_LISTED = 3
"""Runs of a side that an error names."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of two groups of runs: B with the reference A.

    Attributes:
        a: Name of A: the optimizer label, or the number of optimizers.
        b: Name of B: the optimizer label, or the number of optimizers.
        feedback: The feedback levels of A and of B.
        pairs: Pairs (run of A, run of B) with equal problem and seed.
        left_out: Runs without a partner, and both runs of a pair in which one run is not done.
        quantities: The compared quantities, in the order of the tables.
        metrics: The difference between A and B in each quantity, by name of the quantity.
        notes: Warnings for the reader: one seed only, or different versions.
    """

    a: str
    b: str
    feedback: tuple[str, str]
    pairs: tuple[tuple[StoredRun, StoredRun], ...]
    left_out: tuple[StoredRun, ...]
    quantities: tuple[Metric, ...]
    metrics: Mapping[str, Difference]
    notes: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """Number of different seeds among the pairs."""
        return len({one.config.seed for one, _ in self.pairs})

    @property
    def verdict(self) -> str:
        """One sentence that says whether B has a better fairness per query than A."""
        fpq = self.metrics[FPQ.name]
        gain = f"[{fpq.gain.low:+.3f}, {fpq.gain.high:+.3f}]"
        count = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        figures = (
            f"FPQ {fpq.b.value:.3f} against {fpq.a.value:.3f}, a difference of "
            f"{fpq.gain.value:+.3f} {gain} over {count}"
        )
        words = {
            "better": "B buys more fairness per query than A",
            "worse": "B buys less fairness per query than A",
            "no worse": f"B is no worse than A by more than {fpq.margin:g}",
            "undecided": "These runs do not show whether A or B buys more fairness per query",
            "same": "A and B have the same fairness per query, to the last digit",
        }
        return f"{words[fpq.verdict]}: {figures}."

    def as_dict(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return {
            "a": self.a,
            "b": self.b,
            "feedback_a": self.feedback[0],
            "feedback_b": self.feedback[1],
            "pairs": [[str(run.location) for run in pair] for pair in self.pairs],
            "left_out": [str(run.location) for run in self.left_out],
            "metrics": {name: _plain(asdict(compared)) for name, compared in self.metrics.items()},
            "notes": list(self.notes),
            "verdict": self.verdict,
        }

    def pair_rows(self) -> list[dict[str, object]]:
        """One row per pair and quantity, for exports."""
        return [
            {
                "problem": one.problem,
                "seed": one.config.seed,
                "a": one.label,
                "b": other.label,
                "metric": quantity.name,
                "value_a": float(quantity.shown(one.values(quantity))[0]),
                "value_b": float(quantity.shown(other.values(quantity))[0]),
                "run_a": one.run_id,
                "run_b": other.run_id,
            }
            for one, other in self.pairs
            for quantity in self.quantities
        ]


def _plain(values: Any) -> Any:
    """Values for JSON, which has no infinity and no NaN: they become ``None``."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return None if isinstance(values, float) and not isfinite(values) else values


def compare_runs(
    a: Sequence[StoredRun],
    b: Sequence[StoredRun],
    margins: Mapping[str, float] | None = None,
    only: Metric | None = None,
) -> Comparison:
    """Compares two groups of runs.

    Runs are paired by problem and seed. If A or B has runs of several optimizers, the two runs of a
    pair must also have the same optimizer label.

    Args:
        a: Runs of the reference.
        b: Runs of the candidate.
        margins: Largest loss of B that still counts as no worse, by name of the quantity; 0 if the
            quantity is not named.
        only: The one quantity to compare; if ``None``, every quantity that all runs have.

    Raises:
        ConfigError: No run has a partner; the runs of a pair, or runs of one problem on one side,
            differ in a condition; a run is in A and in B; or two finished runs of one side have
            equal problem, seed and optimizer.
    """
    if not a or not b:
        raise ConfigError("nothing to compare: A and B must each have at least one run")
    shared = set.intersection(*({quantity.name for quantity in run.quantities} for run in (*a, *b)))
    offered = a[0].quantities if only is None else (only,)
    quantities = tuple(quantity for quantity in offered if quantity.name in shared)
    margins = margins or {}
    require_margins(margins, quantities)
    by_label = max(len({run.label for run in side}) for side in (a, b)) > 1
    here, there = _by_key(a, by_label), _by_key(b, by_label)
    pairs, left_out = [], []
    for key in [*here, *(key for key in there if key not in here)]:
        one, other = here.get(key), there.get(key)
        if one is None or other is None or not one.done or not other.done:
            left_out += [run for run in (one, other) if run is not None]
            continue
        require_comparable(one, other)
        if one.run_dir.resolve() == other.run_dir.resolve() and one.label == other.label:
            raise ConfigError(
                f"{one.location} is in A and in B; name two optimizers with --a and --b, or two folders"
            )
        pairs.append((one, other))
    if not pairs:
        raise ConfigError(
            "nothing to compare: no finished run of A has a finished partner in B of the same "
            f"dataset, disease, encoder and seed{' and optimizer' if by_label else ''}"
            f"; A: {_unpaired(a, by_label)}; B: {_unpaired(b, by_label)}"
        )
    for side in zip(*pairs, strict=True):
        require_same_conditions(side)
    _require_equal_resamples(pairs)
    metrics = {
        quantity.name: _difference(pairs, quantity, margins.get(quantity.name, 0.0))
        for quantity in quantities
    }
    names = [_name(side) for side in (a, b)]
    return Comparison(
        names[0],
        names[1],
        (_feedback(a), _feedback(b)),
        tuple(pairs),
        tuple(left_out),
        quantities,
        metrics,
        _notes(pairs),
    )


def _unpaired(runs: Sequence[StoredRun], by_label: bool) -> str:
    """Problem and seed of a side's first finished runs, and the number of its other ones."""
    keys = sorted((run.problem, run.config.seed, run.label) for run in runs if run.done)
    names = [
        f"{problem} seed {seed}{f' of {label}' if by_label else ''}"
        for problem, seed, label in keys
    ]
    more = len(names) - MOST_LISTED
    return (", ".join(names[:MOST_LISTED]) or "none") + (f" and {more} more" if more > 0 else "")


def _difference(
    pairs: Sequence[tuple[StoredRun, StoredRun]], quantity: Metric, margin: float
) -> Difference:
    """The difference in one quantity; with one seed, A and B have the intervals of their runs.

    The resamples of the gain have absolute gaps, as those of a mean over seeds have. With the signs of
    the data, two edits that leave equal gaps of opposite signs would differ beyond chance.
    """
    compared = difference(_by_seed(pairs, quantity), quantity, margin=margin)
    if compared.gain.seeds > 1 or not np.isfinite(compared.gain.value):
        return compared
    ((one, other),) = _by_seed(pairs, quantity, alone=True)
    return replace(compared, a=interval([one], quantity), b=interval([other], quantity))


def _by_seed(
    pairs: Sequence[tuple[StoredRun, StoredRun]], quantity: Metric, *, alone: bool = False
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values of A and of B for each seed, each the mean over the pairs with this seed.

    Pairs with the same seed share their patients, so they are not independent and count as one
    sample. A signed quantity keeps its sign if the seed has one pair, because the interval needs
    the sign; the mean over several pairs is the mean of absolute values.

    Args:
        pairs: The pairs.
        quantity: The quantity.
        alone: Whether the values are for intervals of one seed, see :meth:`StoredRun.values`.
    """
    samples = []
    for seed in dict.fromkeys(one.config.seed for one, _ in pairs):
        mine = [pair for pair in pairs if pair[0].config.seed == seed]
        if len(mine) == 1:
            one, other = (run.values(quantity, alone=alone) for run in mine[0])
            samples.append((one, other))
            continue
        a, b = (
            np.mean(
                [quantity.shown(pair[side].values(quantity, alone=alone)) for pair in mine], axis=0
            )
            for side in (0, 1)
        )
        samples.append((a, b))
    return samples


def _require_equal_resamples(pairs: Sequence[tuple[StoredRun, StoredRun]]) -> None:
    """Refuses pairs of one seed with different numbers of resamples.

    The values of pairs with the same seed are averaged resample by resample, also over problems.

    Raises:
        ConfigError: Two pairs of one seed have different numbers of replicates.
    """
    first: dict[int, StoredRun] = {}
    for run, _ in pairs:
        other = first.setdefault(run.config.seed, run)
        if other.config.replicates != run.config.replicates:
            raise ConfigError(
                f"{other.location} and {run.location} cannot be averaged: the number of replicates is "
                f"{other.config.replicates} in one and {run.config.replicates} in the other; compare "
                "their problems one by one"
            )


def _by_key(runs: Iterable[StoredRun], by_label: bool) -> dict[tuple[str, int, str], StoredRun]:
    by_key: dict[tuple[str, int, str], StoredRun] = {}
    for run in runs:
        key = (run.problem, run.config.seed, run.label if by_label else "")
        other = by_key.get(key)
        if other is not None and other.done and run.done:
            budgets = {other.config.budget, run.config.budget}
            raise ConfigError(
                f"{other.location} and {run.location} have the same problem, seed and optimizer"
                + (" and different budgets" if len(budgets) > 1 else "")
                + "; name only one of them"
            )
        if other is None or run.done:
            by_key[key] = run
    return by_key


def _name(runs: Sequence[StoredRun]) -> str:
    labels = list(dict.fromkeys(run.label for run in runs))
    return labels[0] if len(labels) == 1 else f"{len(labels)} optimizers"


def _feedback(runs: Sequence[StoredRun]) -> str:
    return ", ".join(dict.fromkeys(run.feedback for run in runs))


def _notes(pairs: Sequence[tuple[StoredRun, StoredRun]]) -> tuple[str, ...]:
    notes = []
    levels = [_feedback(side) for side in zip(*pairs, strict=True)]
    if levels[0] != levels[1]:
        notes.append(
            f"A has {levels[0]} feedback and B {levels[1]}: they know different things, so the "
            "difference is not one of optimizers alone"
        )
    if len({one.config.seed for one, _ in pairs}) == 1:
        notes.append("one seed: the interval covers the variation of patients, not of other seeds")
    elif 1 < (seeds := len({one.config.seed for one, _ in pairs})) < ENOUGH_SEEDS:
        notes.append(
            f"{seeds} seeds: intervals are wide, since so few tell little of how much seeds differ; "
            "five or more show smaller differences"
        )
    optimizers = [run for pair in pairs for run in pair if not isinstance(run, BaselineRun)]
    notes += cautions({id(run): run for run in optimizers}.values())
    for name in ("zobench", "torch"):
        versions = [
            {run.manifest.versions.get(name) for run in side} for side in zip(*pairs, strict=True)
        ]
        if versions[0] != versions[1]:
            words = " and ".join(", ".join(sorted(map(str, version))) for version in versions)
            notes.append(f"different versions of {name} in A and in B: {words}")
    return tuple(notes)
