"""Two groups of runs, paired by problem and seed, and what tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zobench.errors import ConfigError
from zobench.records.stored_run import HIGHER_IS_BETTER, Measured
from zobench.statistics.differences import Difference, difference

CONDITIONS: tuple[tuple[str, Callable[[Measured], object]], ...] = (
    ("budget", lambda run: run.config.budget),
    ("batch size", lambda run: run.config.batch_size),
    ("penalty", lambda run: run.config.penalty),
    ("backward cost", lambda run: run.config.backward_cost),
    ("head protocol", lambda run: run.config.heads),
    ("number of snapshots", lambda run: run.config.snapshots),
    ("number of replicates", lambda run: run.config.replicates),
    ("tolerance", lambda run: run.config.tolerance),
    ("box", lambda run: run.config.box),
    ("arithmetic", lambda run: _arithmetic(run.manifest["encoder"]["settings"])),
    ("set of encoder parameters", lambda run: run.manifest["parameters"]["encoder"]),
    ("set of split parameters", lambda run: run.manifest["parameters"]["split"]),
    ("encoder digest", lambda run: run.manifest["encoder"]["digest"]),
    ("dataset digest", lambda run: run.manifest["dataset"]["digest"]),
    ("split digest", lambda run: run.manifest["split"]["digest"]),
)
"""What two runs must have in common, or their difference is not the optimizer's."""


PER_SEED = ("split digest",)
"""Conditions that belong to a seed, and not to all runs of a problem."""


def _arithmetic(settings: Mapping[str, object]) -> list[str]:
    return [str(settings.get("device")).partition(":")[0], str(settings.get("precision"))]


def require_same_conditions(runs: Iterable[Measured]) -> None:
    """Refuses runs of one problem under different conditions.

    Raises:
        ConfigError: Two of them differ in what they must have in common.
    """
    problems: dict[str, Measured] = {}
    seeds: dict[tuple[str, int], Measured] = {}
    for run in runs:
        _require_comparable(problems.setdefault(run.problem, run), run, without=PER_SEED)
        _require_comparable(seeds.setdefault((run.problem, run.config.seed), run), run)


@dataclass(frozen=True)
class Comparison:
    """B against A.

    Attributes:
        a: What A is called.
        b: What B is called.
        pairs: Runs of equal problem and seed.
        left_out: Runs without a partner, or not done, or whose partner is not.
        metrics: B's gain in each metric.
        notes: What a reader should know.
    """

    a: str
    b: str
    pairs: tuple[tuple[Measured, Measured], ...]
    left_out: tuple[Measured, ...]
    metrics: Mapping[str, Difference]
    notes: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """Different seeds among the pairs."""
        return len({one.config.seed for one, _ in self.pairs})


def compare(
    a: Sequence[Measured],
    b: Sequence[Measured],
    margins: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compares two groups of runs.

    Where either holds several optimizers, a run's partner has its optimizer too.

    Args:
        a: The reference.
        b: What may be better.
        margins: By metric, what B may lose and still be no worse; 0 where none is named.
        seed: Of the resamples.

    Raises:
        ConfigError: No run has a partner, or partners differ in what they must have in common.
    """
    margins = margins or {}
    by_label = max(len({run.label for run in side}) for side in (a, b)) > 1
    here, there = _by_key(a, by_label), _by_key(b, by_label)
    pairs, left_out = [], []
    for key in [*here, *(key for key in there if key not in here)]:
        one, other = here.get(key), there.get(key)
        if one is None or other is None or one.status != "done" or other.status != "done":
            left_out += [run for run in (one, other) if run is not None]
            continue
        _require_comparable(one, other)
        if one.folder.resolve() == other.folder.resolve():
            raise ConfigError(
                f"{one.folder} is in A and in B; say which runs are meant with --a and --b"
            )
        pairs.append((one, other))
    if not pairs:
        raise ConfigError(
            "nothing to compare: no finished run of A has a finished partner in B of the same "
            f"dataset, disease, encoder and seed{' and optimizer' if by_label else ''}"
        )
    for side in zip(*pairs, strict=True):
        require_same_conditions(side)
    _require_equal_resamples(pairs)
    rng = np.random.default_rng(seed)
    metrics = {
        name: difference(
            _by_seed(pairs, name),
            rng,
            higher_is_better=higher,
            margin=margins.get(name, 0.0),
        )
        for name, higher in HIGHER_IS_BETTER.items()
    }
    names = [_name(side) for side in (a, b)]
    return Comparison(names[0], names[1], tuple(pairs), tuple(left_out), metrics, _notes(pairs))


def _by_seed(
    pairs: Sequence[tuple[Measured, Measured]], metric: str
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """A and B of each seed, mean over its pairs: what has one seed shares patients, and is one draw."""
    found = []
    for seed in dict.fromkeys(one.config.seed for one, _ in pairs):
        mine = [pair for pair in pairs if pair[0].config.seed == seed]
        a, b = (np.mean([pair[side].metric(metric) for pair in mine], axis=0) for side in (0, 1))
        found.append((a, b))
    return found


def _require_equal_resamples(pairs: Sequence[tuple[Measured, Measured]]) -> None:
    """What has one seed is averaged resample by resample, whatever the problem."""
    first: dict[int, Measured] = {}
    for run, _ in pairs:
        other = first.setdefault(run.config.seed, run)
        if other.config.replicates != run.config.replicates:
            raise ConfigError(
                f"{other.folder} and {run.folder} cannot be averaged: the number of replicates is "
                f"{other.config.replicates} in one and {run.config.replicates} in the other; compare "
                "their problems one by one"
            )


def _by_key(runs: Iterable[Measured], by_label: bool) -> dict[tuple[str, int, str], Measured]:
    found: dict[tuple[str, int, str], Measured] = {}
    for run in runs:
        key = (run.problem, run.config.seed, run.label if by_label else "")
        known = found.get(key)
        if known is not None and {known.status, run.status} == {"done"}:
            raise ConfigError(
                f"{known.folder} and {run.folder} are the same problem, seed and optimizer; name the "
                "one that is meant"
            )
        if known is None or run.status == "done":
            found[key] = run
    return found


def _require_comparable(one: Measured, other: Measured, without: Sequence[str] = ()) -> None:
    for what, of in CONDITIONS:
        if what not in without and of(one) != of(other):
            raise ConfigError(
                f"{one.folder} and {other.folder} cannot be compared: the {what} is {of(one)} in one "
                f"and {of(other)} in the other; name runs that have it in common"
            )


def _name(runs: Sequence[Measured]) -> str:
    labels = list(dict.fromkeys(run.label for run in runs))
    return labels[0] if len(labels) == 1 else f"{len(labels)} optimizers"


def _notes(pairs: Sequence[tuple[Measured, Measured]]) -> tuple[str, ...]:
    notes = []
    if len({one.config.seed for one, _ in pairs}) == 1:
        notes.append("one seed: the interval knows of other patients, not of other seeds")
    for name in ("zobench", "torch"):
        versions = [
            {run.manifest["versions"].get(name) for run in side}
            for side in zip(*pairs, strict=True)
        ]
        if versions[0] != versions[1]:
            words = " and ".join(", ".join(sorted(map(str, each))) for each in versions)
            notes.append(f"{name} was {words}")
    return tuple(notes)


def sentence(found: Comparison) -> str:
    """The verdict on FPQ in one plain sentence."""
    fpq = found.metrics["fpq"]
    gain = f"[{fpq.gain.low:+.3f}, {fpq.gain.high:+.3f}]"
    count = "one seed" if found.seeds == 1 else f"{found.seeds} seeds"
    figures = (
        f"FPQ {fpq.b.value:.3f} against {fpq.a.value:.3f}, a difference of {fpq.gain.value:+.3f} "
        f"{gain} over {count}"
    )
    words = {
        "better": "B buys more fairness per query than A",
        "worse": "B buys less fairness per query than A",
        "no worse": f"B is no worse than A by more than {fpq.margin:g}",
        "undecided": "These runs cannot tell which of A and B buys more fairness per query",
        "same": "A and B are the same, to the last digit",
    }
    return f"{words[fpq.verdict]}: {figures}."
