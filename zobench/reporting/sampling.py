"""Chooses some of very many runs: equally many seeds of every optimizer on every problem."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from zobench.errors import ConfigError, NotARunError
from zobench.files.location import Location
from zobench.records.stored_run import StoredRun


def sample(folders: Sequence[Location], most: int) -> list[Location]:
    """At most so many runs, spread evenly over optimizers and problems; the same for the same runs.

    Seeds are drawn at random, not by what came of them. Only manifests are read.

    Args:
        folders: Run folders.
        most: How many to keep.

    Raises:
        ConfigError: There is not one for each optimizer and problem.
        StoreError: A run is damaged.
    """
    if len(folders) <= most:
        return list(folders)
    groups: dict[tuple[str, str], list[Location]] = defaultdict(list)
    for folder in sorted(folders, key=str):
        with suppress(NotARunError):  # it went away meanwhile
            run = StoredRun(folder)
            groups[run.problem, run.label].append(folder)
    if most < len(groups):
        raise ConfigError(
            f"--sample is {most}, but must be at least {len(groups)}, one run for each of the "
            f"{len(groups)} optimizers and problems; or name fewer folders"
        )
    rng = np.random.default_rng(0)
    drawn = [
        [group[at] for at in rng.permutation(len(group))] for _, group in sorted(groups.items())
    ]
    in_turn = [group[turn] for turn in range(most) for group in drawn if turn < len(group)]
    return sorted(in_turn[:most], key=str)
