"""What a report says first: who is ahead at each feedback level, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zobench.contracts.optimizer import FEEDBACK
from zobench.measures.interval import interval
from zobench.measures.recovery import FPQ
from zobench.records.stored_run import StoredRun

from .numbers import Json

SEES = {"value": "values", "embeddings": "embeddings", "gradient": "gradients"}
SHOWN = 5
"""Optimizers of a level that are named."""


def opening(
    groups: Mapping[str, Sequence[StoredRun]], rows: Sequence[Json], baselines: Mapping[str, Json]
) -> tuple[str, ...]:
    """The first sentences about one problem.

    Args:
        groups: The runs by optimizer.
        rows: The rows of the results table of this problem.
        baselines: The no-query baselines of this problem by name.

    Returns:
        The verdict where there is one run; else a sentence for each feedback level with a finished
        run, and one about the best method that needs no query.
    """
    runs = [run for members in groups.values() for run in members]
    if len(runs) == 1:
        return (runs[0].verdict.text,)
    sentences = []
    for level in FEEDBACK:
        done = [row for row in rows if row["feedback"] == level and row["fpq"] is not None]
        done.sort(key=lambda row: -row["fpq"]["value"])
        if done:
            sentences.append(_ranking(level, done, groups))
    free = {name: row for name, row in baselines.items() if row["recovery"] is not None}
    if free and sentences:
        name = max(free, key=lambda name: float(free[name]["recovery"]["value"]))
        sentences.append(
            f"At no query, {name} recovers {_share(free[name]['recovery'])} of the gap."
        )
    return tuple(sentences) or ("No run is done yet.",)


def _ranking(level: str, rows: Sequence[Json], groups: Mapping[str, Sequence[StoredRun]]) -> str:
    first, *others = rows
    sentence = f"Of those that see {SEES[level]}, {first['optimizer']} "
    if not others:
        return f"{sentence}alone is done: FPQ {_share(first['fpq'])}."
    names = ", ".join(
        f"{row['optimizer']} ({round(row['fpq']['value'], 2) + 0.0:.2f})" for row in others[:SHOWN]
    )
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    sentence += f"has the highest FPQ, {_share(first['fpq'])}, before {names}{more}".replace(
        "(-", "(\N{MINUS SIGN}"
    )
    ahead = _ahead(groups[first["optimizer"]], groups[others[0]["optimizer"]])
    if ahead is None:
        return f"{sentence}; the first two have no seed in common."
    surely = "more than chance, taken by itself" if ahead else "no more than chance"
    return f"{sentence}; its lead over the second is {surely}."


def _ahead(one: Sequence[StoredRun], other: Sequence[StoredRun]) -> bool | None:
    """Whether the difference in FPQ over shared seeds is above 0; ``None`` without such a seed."""
    first, second = ({run.config.seed: run for run in runs if run.done} for runs in (one, other))
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    return interval([first[seed].values(FPQ) - second[seed].values(FPQ) for seed in shared]).low > 0


def _share(estimate: Json) -> str:
    value, low, high = (f"{round(estimate[key], 2) + 0.0:.2f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]".replace("-", "\N{MINUS SIGN}")
