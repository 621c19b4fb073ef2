"""Whether the problems of a report agree: rank correlations, and who is first where."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from zobench.measures.interval import Floats
from zobench.measures.recovery import FPQ
from zobench.records.stored_run import StoredRun
from zobench.statistics import Agreement, agreement

from .numbers import Json, finite

LEAST = 3
"""Optimizers from which on a rank correlation says anything."""
ALL = "all levels together"
Scores = Mapping[str, dict[str, dict[int, float]]]
"""FPQ by problem, optimizer and seed."""


def agreements(
    groups: Mapping[tuple[str, str], Sequence[StoredRun]], rng: np.random.Generator
) -> dict[str, Json]:
    """Kendall's tau of the optimizers' FPQ between every two problems.

    Args:
        groups: The runs by problem and optimizer.
        rng: Draws the resamples of the seeds.

    Returns:
        For each feedback level, and for all levels together where there are several: the optimizers
        with a finished run on every problem, the correlation of each pair of problems over the seeds
        that all of them have on both, and the first optimizer on each problem over the seeds that all
        have there. A level of fewer than three optimizers is left out; empty for
        fewer than two problems.
    """
    scores: Scores = defaultdict(dict)
    levels: dict[str, str] = {}
    for (problem, label), members in groups.items():
        done = [run for run in members if run.done and run.fpq is not None]
        if done:
            scores[problem][label] = {run.config.seed: float(run.values(FPQ)[0]) for run in done}
            levels[label] = members[0].manifest.feedback
    problems = sorted({problem for problem, _ in groups})
    shared = [label for label in levels if all(label in scores[name] for name in problems)]
    sets = {level: [x for x in shared if levels[x] == level] for level in levels.values()}
    if len(sets) > 1:
        sets = {ALL: shared, **sets}
    return {
        name: _agreement(problems, scores, labels, rng)
        for name, labels in sets.items()
        if len(labels) >= LEAST and len(problems) > 1
    }


def _agreement(
    problems: Sequence[str],
    scores: Scores,
    labels: Sequence[str],
    rng: np.random.Generator,
) -> Json:
    seeds = {
        problem: set.intersection(*(set(scores[problem][label]) for label in labels))
        for problem in problems
    }
    pairs = []
    for one, two in combinations(problems, 2):
        shared = sorted(seeds[one] & seeds[two])
        measured = Agreement(math.nan, math.nan, math.nan)
        if shared:
            first_table, second_table = (
                _table(scores[problem], labels, shared) for problem in (one, two)
            )
            measured = agreement(first_table, second_table, rng)
        ends = {"tau": measured.tau, "low": measured.low, "high": measured.high}
        numbers = {key: finite(value) for key, value in ends.items()}
        pairs.append({"problems": [one, two], "seeds": len(shared), **numbers})
    first = {}
    for problem in problems:
        if not seeds[problem]:
            continue
        means = _table(scores[problem], labels, sorted(seeds[problem])).mean(1)
        best = int(np.argmax(means))
        first[problem] = {
            "optimizer": labels[best],
            "fpq": finite(float(means[best])),
            "seeds": len(seeds[problem]),
        }
    return {"optimizers": list(labels), "pairs": pairs, "first": first}


def _table(
    scores: Mapping[str, Mapping[int, float]], labels: Sequence[str], seeds: Sequence[int]
) -> Floats:
    """Scores ``(M, S)`` of optimizers with the same seeds."""
    return np.array([[scores[label][seed] for seed in seeds] for label in labels])
