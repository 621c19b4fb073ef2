"""Decides which edits of a run are scored on which images, at a bounded number of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zobench.config import RunConfig
from zobench.contracts.random_streams import generator
from zobench.problem.images import Images
from zobench.problem.subset import nested_subset

from .scoring import ScoredSubset

WHOLE = 5
"""The number of edits that are scored on all images. With more snapshots, the curve is scored on a
subset, so that all snapshots together cost no more images than this number of edits."""

ENDS = 2
"""Edits scored on all images beside a curve on a subset: the last one and the best one."""

CONTROLS = 2
"""Controls of an edit: its placebo and its negative."""


@dataclass(frozen=True)
class ScorePlan:
    """The edits to score.

    Attributes:
        edits: For each snapshot, the query count of the first snapshot with an equal edit; 0 for
            the zero edit, which is ERM.
        share: The share of the images that the curve is scored on; 1 if all snapshots are scored on
            all images.
    """

    edits: Mapping[int, int]
    share: float

    @property
    def distinct(self) -> list[int]:
        """Query counts of the edits to embed, increasing."""
        return sorted(set(self.edits.values()) - {0})

    @property
    def last(self) -> int:
        """The edit of the last snapshot; 0 if it is the zero edit or there is none."""
        return self.edits[max(self.edits)] if self.edits else 0

    def subset(self, train: Images, test: Images, seed: int) -> ScoredSubset | None:
        """The images that the curve is scored on; ``None`` for all."""
        if self.share == 1.0:
            return None
        rng = generator(seed, "subset")
        return ScoredSubset(*(nested_subset(each, self.share, rng) for each in (train, test)))


def score_plan(contents: Mapping[int, bytes], nothing: bytes) -> ScorePlan:
    """The plan for the snapshots of a run.

    Args:
        contents: The edit of each snapshot, as bytes, by query count.
        nothing: The zero edit, as bytes.
    """
    first = {nothing: 0}
    edits = {queries: first.setdefault(contents[queries], queries) for queries in sorted(contents)}
    count = len(set(edits.values()) - {0})
    share = 1.0 if count <= WHOLE else (WHOLE - ENDS) / (count - 1)
    return ScorePlan(edits, share)


def most_images(config: RunConfig, snapshots: int, train: int, test: int) -> int:
    """The most images that scoring embeds: ERM, a number of snapshots, and their controls.

    Args:
        config: The config of the run.
        snapshots: The number of snapshots.
        train: The number of training images.
        test: The number of test images.
    """
    whole = min(snapshots, WHOLE)
    curve = snapshots if snapshots <= WHOLE else WHOLE - ENDS
    controls = {"none": 0, "last": CONTROLS, "all": CONTROLS * (1 + curve)}[config.controls]
    # a subset has at least one patient of each stratum
    slack = 4 * snapshots * (1 + CONTROLS) if snapshots > WHOLE else 0
    return test + (whole + controls) * (train + test) + slack
