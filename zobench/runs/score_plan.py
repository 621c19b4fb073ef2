"""Decides which edits of a run are embedded to score it, and how many images that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zobench.config import RunConfig

CONTROLS = ("placebo", "negative")
"""The controls of an edit."""


@dataclass(frozen=True)
class ScorePlan:
    """The edits to score.

    Attributes:
        edits: For each snapshot, the query count of the first snapshot with an equal edit; 0 for
            the zero edit, which is ERM.
    """

    edits: Mapping[int, int]

    @property
    def distinct(self) -> list[int]:
        """Query counts of the edits to embed, increasing."""
        return sorted(set(self.edits.values()) - {0})

    @property
    def last(self) -> int:
        """The edit of the last snapshot; 0 if it is the zero edit or there is none."""
        return self.edits[max(self.edits)] if self.edits else 0

    def controlled(self, controls: str) -> list[int]:
        """Query counts of the edits whose controls are scored: the last edit first."""
        if controls == "none" or not self.last:
            return []
        others = [each for each in self.distinct if each != self.last]
        return [self.last, *(others if controls == "all" else [])]


def score_plan(contents: Mapping[int, bytes], nothing: bytes) -> ScorePlan:
    """The plan for the snapshots of a run.

    Args:
        contents: The edit of each snapshot, as bytes, by query count.
        nothing: The zero edit, as bytes.
    """
    first = {nothing: 0}
    return ScorePlan(
        {queries: first.setdefault(contents[queries], queries) for queries in sorted(contents)}
    )


def most_images(config: RunConfig, snapshots: int, train: int, test: int) -> int:
    """The most images that scoring embeds: ERM, a number of snapshots, and their controls.

    Args:
        config: The config of the run.
        snapshots: The number of snapshots.
        train: The number of training images.
        test: The number of test images.
    """
    controlled = {"none": 0, "last": min(1, snapshots), "all": snapshots}[config.controls]
    return test + (snapshots + len(CONTROLS) * controlled) * (train + test)
