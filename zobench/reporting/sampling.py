"""Samples runs for the report, as evenly as possible over optimizers and problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from zobench.errors import ConfigError, NotARunError
from zobench.files.location import Location
from zobench.records.stored_run import StoredRun


def sample(folders: Sequence[Location], most: int) -> list[Location]:
    """Samples at most ``most`` run folders, spread evenly over optimizers and problems.

    The runs of one optimizer on one problem are drawn at random, without a look at their results.
    The random generator has a fixed seed, so the same folders give the same sample. Of each run
    only the manifest is read.

    Args:
        folders: Run folders.
        most: Largest number of folders to return.

    Raises:
        ConfigError: ``most`` is smaller than the number of combinations of optimizer and problem.
        StoreError: A run is damaged.
    """
    if len(folders) <= most:
        return list(folders)
    groups: dict[tuple[str, str], list[Location]] = defaultdict(list)
    for folder in sorted(folders, key=str):
        with suppress(NotARunError):  # the run folder was deleted meanwhile
            run = StoredRun(folder)
            groups[run.problem, run.label].append(folder)
    if most < len(groups):
        raise ConfigError(
            f"--sample is {most}, but must be at least {len(groups)}, one run for each "
            "combination of optimizer and problem; or name fewer folders"
        )
    rng = np.random.default_rng(0)
    drawn = [
        [group[at] for at in rng.permutation(len(group))] for _, group in sorted(groups.items())
    ]
    in_turn = [group[turn] for turn in range(most) for group in drawn if turn < len(group)]
    return sorted(in_turn[:most], key=str)
