"""The tests that every metric must pass, for built-in metrics and plugins."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import GroupCounts, Metric, Predictions
from zobench.registry.discovery import Registry

from .installed import installed

IMAGES, RESAMPLES = 240, 5


class MetricConformance:
    """Tests of the metric contract; subclass it, set ``name``, and pytest collects the tests.

    Attributes:
        name: The registered name of the metric.
    """

    name: ClassVar[str]

    def registry(self) -> Registry:
        """The registry that holds the metric; by default all installed plugins."""
        return installed()

    def metric(self) -> Metric:
        """The metric under test."""
        return next(metric for metric in self.registry().metrics if metric.name == self.name)

    def values(self, predictions: Predictions, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The metric of test images in each of R weightings, ``(R,)``."""
        metric = self.metric()
        if metric.from_scores is not None:
            return metric.from_scores(predictions, weights)
        assert metric.from_counts is not None
        return metric.from_counts(counts(predictions, weights))

    def test_one_value_a_weighting_within_its_bounds(self) -> None:
        """Values are ``(R,)`` and lie, absolute where signed, between ``low`` and ``high``."""
        metric, (predictions, weights) = self.metric(), example()
        values = metric.shown(self.values(predictions, weights))
        assert values.shape == (RESAMPLES,), f"values have shape {values.shape}, not (R,)"
        assert np.isfinite(values).all(), f"values are {values}"
        assert (values >= metric.low).all(), f"a value is below low={metric.low}: {values}"
        assert (values <= metric.high).all(), f"a value is above high={metric.high}: {values}"

    def test_a_head_that_calls_nobody_or_everybody_has_a_value(self) -> None:
        """Where all scores are negative or all positive, no value is NaN; it may be infinite."""
        predictions, weights = example()
        for shift, who in ((-100.0, "nobody"), (100.0, "everybody")):
            scores = Predictions(
                predictions.score + shift, predictions.label, predictions.sensitive
            )
            values = self.values(scores, weights)
            assert not np.isnan(values).any(), f"where a head calls {who}, values are {values}"

    def test_the_order_of_the_images_does_not_matter(self) -> None:
        """The same images in another order have the same value."""
        predictions, weights = example()
        order = np.random.default_rng(1).permutation(IMAGES)
        moved = Predictions(
            predictions.score[order], predictions.label[order], predictions.sensitive[order]
        )
        one, two = self.values(predictions, weights), self.values(moved, weights[:, order])
        assert np.allclose(one, two), f"another order of the images gives {two}, not {one}"

    def test_an_image_of_weight_two_counts_as_two_images(self) -> None:
        """A weight is a number of copies, as in a resample."""
        predictions, _ = example()
        weights = np.ones((1, IMAGES))
        weights[0, :40] = 2.0
        twice = np.concatenate([np.arange(IMAGES), np.arange(40)])
        copied = Predictions(
            predictions.score[twice], predictions.label[twice], predictions.sensitive[twice]
        )
        one = self.values(predictions, weights)
        two = self.values(copied, np.ones((1, len(twice))))
        assert np.allclose(one, two), f"images of weight 2 give {one}, and copied images {two}"

    def test_a_mean_over_seeds_has_the_value_of_the_data(self) -> None:
        """What computes the resamples in means gives the data's row the same value."""
        metric = self.metric()
        if metric.from_counts_in_means is None:
            return
        counted = counts(*example())
        alone, in_means = (metric.of_counts(counted, in_means=flag) for flag in (False, True))
        assert np.isclose(*(metric.shown(values)[0] for values in (alone, in_means))), (
            f"the data's value is {alone[0]}, and {in_means[0]} in means"
        )

    def test_the_declaration_is_complete(self) -> None:
        """Heading, summary and bounds are there."""
        metric = self.metric()
        assert metric.heading, "heading is empty"
        assert metric.summary, "summary is empty"
        assert metric.low < metric.high, f"low={metric.low} is not below high={metric.high}"


def example() -> tuple[Predictions, NDArray[np.float64]]:
    """Predictions of 240 test images, and five weightings of them; the first counts each once."""
    rng = np.random.default_rng(0)
    label, sensitive = np.arange(IMAGES) % 2, (np.arange(IMAGES) // 2) % 2
    score = rng.normal(size=IMAGES) + label + 0.3 * sensitive
    weights = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), RESAMPLES).astype(np.float64)
    weights[0] = 1.0
    weights.setflags(write=False)  # as in a run
    return Predictions(score, label, sensitive), weights


def counts(predictions: Predictions, weights: NDArray[np.float64]) -> GroupCounts:
    """The counts in the cells of (y, a)."""
    images, called = (np.zeros((len(weights), 2, 2)) for _ in range(2))
    for y in (0, 1):
        for a in (0, 1):
            cell = (predictions.label == y) & (predictions.sensitive == a)
            images[:, y, a] = weights[:, cell].sum(1)
            called[:, y, a] = weights[:, cell & (predictions.score > 0)].sum(1)
    return GroupCounts(images, called)
