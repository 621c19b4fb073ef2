"""Compares every two optimizers of a folder, at each feedback level by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, nan
from typing import Any

from zobench.contracts.optimizer import FEEDBACK
from zobench.errors import ConfigError
from zobench.measures.interval import Interval, interval
from zobench.measures.recovery import FPQ
from zobench.records.selection import in_words
from zobench.records.stored_run import StoredRun
from zobench.statistics.corrections import holm
from zobench.statistics.differences import Difference

from .pairs import compare_runs

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Pair:
    """Two optimizers of a level.

    Attributes:
        a: Label of the first.
        b: Label of the second.
        fpq: The difference in FPQ over shared problems and seeds; ``None`` if they share none.
        p: Two-sided p-value that the true difference is 0; NaN if they share none.
        adjusted: The p-value after Holm's correction for all tested pairs of the level.
    """

    a: str
    b: str
    fpq: Difference | None
    p: float
    adjusted: float

    @property
    def differs(self) -> bool:
        """Whether the two differ, at 5 % for all tested pairs of the level together."""
        return self.adjusted < SIGNIFICANCE

    def as_dict(self) -> dict[str, Any]:
        """The pair as a JSON object; what is not known is ``None``."""
        return {
            "a": self.a,
            "b": self.b,
            "gain": None if self.fpq is None else self.fpq.gain.as_dict(),
            "p": self.p if isfinite(self.p) else None,
            "p_holm": self.adjusted if isfinite(self.adjusted) else None,
        }


@dataclass(frozen=True)
class LevelRanking:
    """The optimizers of one feedback level.

    Attributes:
        feedback: The level.
        labels: The optimizers, the highest mean FPQ first.
        fpq: Mean FPQ by label, with its interval, on the problems and seeds
            that all of them share; on its own where they share none.
        pairs: The tested pairs.
        shared: The problems and seeds that all of them have.
        reference: The optimizer in all pairs; ``None`` if every two are tested.
    """

    feedback: str
    labels: tuple[str, ...]
    fpq: Mapping[str, Interval]
    pairs: tuple[Pair, ...]
    shared: frozenset[tuple[str, int]] = frozenset()
    reference: str | None = None

    @property
    def all_share(self) -> bool:
        """Whether there are problems and seeds that all of them have."""
        return bool(self.shared)

    def behind(self, label: str) -> list[str]:
        """The optimizers that this one is ahead of, beyond chance."""
        return [other for other in self.labels if self._gain(label, other) > 0]

    def ahead(self, label: str) -> list[str]:
        """The optimizers that are ahead of this one, beyond chance."""
        return [other for other in self.labels if self._gain(label, other) < 0]

    def without_shared(self, label: str) -> list[str]:
        """The optimizers that share no problem and seed with this one."""
        return [
            pair.b if pair.a == label else pair.a
            for pair in self.pairs
            if label in (pair.a, pair.b) and pair.fpq is None
        ]

    def gain_over(self, reference: str, label: str) -> tuple[Interval | None, float]:
        """The gain of an optimizer over another, with the adjusted p-value; ``None`` if not known."""
        for pair in self.pairs:
            if {pair.a, pair.b} == {label, reference} and pair.fpq is not None:
                gain = pair.fpq.gain
                if pair.b == label:
                    return gain, pair.adjusted
                turned = Interval(-gain.value, -gain.high, -gain.low, gain.seeds)
                return turned, pair.adjusted
        return None, nan

    def _gain(self, label: str, other: str) -> float:
        """The difference in FPQ where it is beyond chance, else 0."""
        for pair in self.pairs:
            if {pair.a, pair.b} == {label, other} and pair.fpq is not None and pair.differs:
                return pair.fpq.gain.value * (1 if pair.b == label else -1)
        return 0.0

    def as_dict(self) -> dict[str, Any]:
        """The ranking as a JSON object."""
        return {
            "feedback": self.feedback,
            "all_share": self.all_share,
            "optimizers": [
                {"label": label, "fpq": self.fpq[label].as_dict()} for label in self.labels
            ],
            "pairs": [pair.as_dict() for pair in self.pairs],
        }


def rank_all(runs: Sequence[StoredRun], label: str | None = None) -> list[LevelRanking]:
    """Ranks the optimizers of each level by FPQ, and tests every two of them.

    Args:
        runs: Runs under the same conditions; those that are not done are left out.
        label: Only the pairs with this optimizer; all pairs if ``None``.

    Raises:
        ConfigError: No level has two optimizers with finished runs of a shared problem and seed, or
            the conditions differ.
    """
    done = [run for run in runs if run.done]
    replicates = sorted({run.config.replicates for run in done})
    if len(replicates) > 1:
        raise ConfigError(
            f"the runs have {', '.join(map(str, replicates))} replicates, whose resamples cannot be "
            f"paired; choose those with one number: --where replicates={replicates[-1]}"
        )
    rankings = []
    for level in FEEDBACK:
        groups: dict[str, list[StoredRun]] = {}
        for run in done:
            if run.feedback == level:
                groups.setdefault(run.label, []).append(run)
        if len(groups) > 1 and (label is None or label in groups):
            rankings.append(_ranked(level, groups, label))
    if not rankings and label is not None and any(run.label == label for run in done):
        others = sorted({f"{run.label} ({run.feedback})" for run in done if run.label != label})
        raise ConfigError(
            f"{label} is the only optimizer of its feedback level that has finished runs; there are "
            f"runs of {', '.join(others) or 'no other'}: name both, --a {label} --b LABEL"
        )
    if not rankings:
        there = sorted({run.label for run in runs})
        both = ". To compare two of different levels, name both: --a LABEL --b LABEL"
        raise ConfigError(
            "nothing to rank: no feedback level has finished runs of two optimizers; there are runs of: "
            f"{', '.join(there) or 'none'}{both if len(there) > 1 else ''}"
        )
    if all(pair.fpq is None for ranked in rankings for pair in ranked.pairs):
        labels = ", ".join(name for ranked in rankings for name in ranked.labels)
        who = f"of {labels}, no two of a level" if label is None else f"{label} and no other"
        raise ConfigError(
            f"nothing to rank: {who} have finished runs of one dataset, disease, encoder and seed; "
            "list the runs: zobench show FOLDER"
        )
    return rankings


def _ranked(
    level: str, groups: Mapping[str, Sequence[StoredRun]], label: str | None
) -> LevelRanking:
    shared = set.intersection(
        *({(run.problem, run.config.seed) for run in members} for members in groups.values())
    )
    fpq = {name: _own(members, shared) for name, members in groups.items()}
    resamples = next(iter(groups.values()))[0].config.replicates
    labels = sorted(groups, key=lambda name: -fpq[name].value)
    tested = []
    for b, a in combinations(labels, 2):
        if label not in (None, a, b):
            continue
        of_both = {(r.problem, r.config.seed) for r in groups[a]} & {
            (r.problem, r.config.seed) for r in groups[b]
        }
        difference = None
        if of_both:
            difference = compare_runs(groups[a], groups[b], only=FPQ).metrics[FPQ.name]
        tested.append((a, b, difference, _p(difference, resamples)))
    adjusted = holm([p for *_, p in tested])
    pairs = [Pair(*compared, after) for compared, after in zip(tested, adjusted, strict=True)]
    return LevelRanking(level, tuple(labels), fpq, tuple(pairs), frozenset(shared), label)


def unranked(runs: Iterable[StoredRun], rankings: Sequence[LevelRanking]) -> list[str]:
    """Sentences on runs that have no part in the means of the rankings."""
    runs = list(runs)
    levels = {ranking.feedback: ranking for ranking in rankings}
    done = [run for run in runs if run.done]
    alone = [run for run in done if run.feedback not in levels]
    apart = [
        run
        for run in done
        if run.feedback in levels
        and levels[run.feedback].all_share
        and (run.problem, run.config.seed) not in levels[run.feedback].shared
    ]
    return [
        f"left out {in_words(group)}: {why}"
        for group, why in (
            ([run for run in runs if not run.done], "not finished"),
            (alone, "no other optimizer of that feedback level has finished runs"),
            (apart, "means are over the problems and seeds that all optimizers of a level have"),
        )
        if group
    ]


def _own(runs: Sequence[StoredRun], shared: Collection[tuple[str, int]]) -> Interval:
    """The mean FPQ over seeds, of the problems and seeds that all optimizers share, if any."""
    by_seed: dict[int, list[Any]] = {}
    members = [run for run in runs if (run.problem, run.config.seed) in shared] or runs
    alone = len({run.config.seed for run in members}) == 1
    for run in members:
        by_seed.setdefault(run.config.seed, []).append(run.values(FPQ, alone=alone))
    return interval([sum(values) / len(values) for values in by_seed.values()], FPQ)


def _p(difference: Difference | None, resamples: int) -> float:
    """Two-sided p-value; with one seed it comes from a number of resamples, so it is never 0."""
    if difference is None:
        return float("nan")
    if difference.verdict == "same":
        return 1.0
    tail = min(difference.superiority, 1.0 - difference.superiority)
    if difference.gain.seeds == 1:
        tail = (tail * resamples + 1.0) / (resamples + 1.0)
    return min(1.0, 2.0 * tail)
