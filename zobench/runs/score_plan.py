"""Decides which edits of a run are scored, and how many images that takes at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zobench.config import RunConfig
from zobench.measures.curve import next_to_score, positions

CONTROLS = ("placebo", "negative")
"""The controls of an edit."""


@dataclass(frozen=True)
class ScorePlan:
    """The edits to score.

    Attributes:
        edits: For each snapshot, the query count of the first snapshot with an equal edit; 0 for
            the zero edit, which is ERM.
        scored: The number of distinct edits to score, at most.
        first: Queries of one evaluation.
    """

    edits: Mapping[int, int]
    scored: int
    first: int

    @property
    def count(self) -> int:
        """The number of edits to score."""
        return min(self.scored, len(self.distinct))

    @property
    def distinct(self) -> list[int]:
        """Query counts of the distinct edits, increasing."""
        return sorted(set(self.edits.values()) - {0})

    @property
    def last(self) -> int:
        """The edit of the last snapshot; 0 if it is the zero edit or there is none."""
        return self.edits[max(self.edits)] if self.edits else 0

    def following(self, recoveries: Mapping[int, tuple[float, float]]) -> int | None:
        """Query count of the edit to score next; ``None`` if enough are scored.

        Args:
            recoveries: Recovery with and without the tolerance of ERM and of each scored edit, by
                query count.
        """
        if self.last not in recoveries:
            return self.last
        if len(recoveries) > self.count:
            return None
        snapshots = sorted(self.edits)
        places = positions([0, *snapshots], self.first)
        pairs = [recoveries[0], *(recoveries.get(self.edits[queries]) for queries in snapshots)]
        number = next_to_score(places, pairs)
        return None if number is None else self.edits[snapshots[number - 1]]

    def controlled(self, controls: str, scored: Iterable[int]) -> list[int]:
        """Query counts of the edits whose controls are scored: the last edit first.

        Args:
            controls: ``last``, ``all`` or ``none``.
            scored: Query counts of the scored edits.
        """
        if not self.last:
            return []
        others = sorted(set(scored) - {0, self.last})
        return [self.last, *others][: controlled_edits(controls, len(others) + 1)]


def score_plan(
    contents: Mapping[int, bytes], nothing: bytes, config: RunConfig, times: int = 1
) -> ScorePlan:
    """The plan for the snapshots of a run.

    Args:
        contents: The edit of each snapshot, as bytes, by query count.
        nothing: The zero edit, as bytes.
        config: The config of the run.
        times: How often as many edits may be scored as the config says; once more with each extension.
    """
    first = {nothing: 0}
    edits = {queries: first.setdefault(contents[queries], queries) for queries in sorted(contents)}
    return ScorePlan(edits, times * config.scored, config.batch_size)


def most_images(config: RunConfig, snapshots: int, train: int, test: int, times: int = 1) -> int:
    """The most images that scoring embeds: ERM, the scored snapshots, and their controls.

    Args:
        config: The config of the run.
        snapshots: The number of snapshots that are stored.
        train: The number of training images.
        test: The number of test images.
        times: As for :func:`score_plan`; the controls of each former last edit are scored, too.
    """
    edits = min(snapshots, times * config.scored)
    controls = len(CONTROLS) * min(edits, times * controlled_edits(config.controls, edits))
    return test + (edits + controls) * (train + test)


def images_left_to_score(
    config: RunConfig, snapshots: int, train: int, test: int, times: int, counted: int
) -> int:
    """The most images that scoring still embeds if one more snapshot is stored.

    Args:
        config: The config of the run.
        snapshots: The number of snapshots that are stored.
        train: The number of training images.
        test: The number of test images.
        times: As for :func:`score_plan`.
        counted: The images that scoring has embedded.
    """
    return max(0, most_images(config, snapshots + 1, train, test, times) - counted)


def controlled_edits(controls: str, scored: int) -> int:
    """The number of edits whose controls are scored, of a number of scored edits."""
    return {"none": 0, "last": min(1, scored), "all": scored}[controls]
