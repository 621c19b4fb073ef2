"""Whether the problems of a report agree: rank correlations, and who is first where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from zobench.measures.interval import Floats
from zobench.measures.recovery import FPQ
from zobench.records.stored_run import StoredRun
from zobench.statistics import agreement

from .numbers import Json, finite

LEAST = 3
"""Optimizers from which on a rank correlation says anything."""
ALL = "all levels together"


def agreements(
    groups: Mapping[tuple[str, str], Sequence[StoredRun]], rng: np.random.Generator
) -> dict[str, Json]:
    """Kendall's tau of the optimizers' FPQ between every two problems.

    Args:
        groups: The runs by problem and optimizer.
        rng: Draws the resamples of the seeds.

    Returns:
        For each feedback level, and for all levels together where there are several: the optimizers
        with a finished run on every problem, the correlation of each pair of problems, and the first
        optimizer on each problem. A level of fewer than three optimizers is left out; empty for
        fewer than two problems.
    """
    scores: dict[str, dict[str, Floats]] = defaultdict(dict)
    levels: dict[str, str] = {}
    for (problem, label), members in groups.items():
        done = [run for run in members if run.done and run.fpq is not None]
        if done:
            scores[problem][label] = np.array([float(run.values(FPQ)[0]) for run in done])
            levels[label] = members[0].manifest.feedback
    problems = sorted({problem for problem, _ in groups})
    shared = [label for label in levels if all(label in scores[each] for each in problems)]
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
    scores: Mapping[str, Mapping[str, Floats]],
    labels: Sequence[str],
    rng: np.random.Generator,
) -> Json:
    tables = {}
    for problem in problems:
        seeds = min(len(scores[problem][label]) for label in labels)
        tables[problem] = np.stack([scores[problem][label][:seeds] for label in labels])
    pairs = []
    for one, two in combinations(problems, 2):
        found = agreement(tables[one], tables[two], rng)
        ends = {"tau": found.tau, "low": found.low, "high": found.high}
        pairs.append({"problems": [one, two], **{k: finite(each) for k, each in ends.items()}})
    first = {}
    for problem in problems:
        means = tables[problem].mean(1)
        best = int(np.argmax(means))
        first[problem] = {"optimizer": labels[best], "fpq": finite(float(means[best]))}
    return {"optimizers": list(labels), "pairs": pairs, "first": first}
