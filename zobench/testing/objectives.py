"""The tests that every objective must pass, for built-in objectives and plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.objective import (
    ComparingObjective,
    LearningObjective,
    Objective,
    ObjectiveContext,
)
from zobench.problem.heads import fit_sensitive_head
from zobench.registry.discovery import Registry

from .installed import installed

IMAGES, DIMENSION = 200, 12


class ObjectiveConformance:
    """Tests of the objective contract; subclass it, set ``name``, and pytest collects the tests.

    Attributes:
        name: The name of the objective, as given to ``--objective``.
        overrides: Parameters other than the defaults.
    """

    name: ClassVar[str]
    overrides: ClassVar[Mapping[str, object]] = {}

    def registry(self) -> Registry:
        """The registry that holds the objective; by default all installed plugins."""
        return installed()

    def make(self) -> Objective:
        """The objective under test, on 200 clean embeddings in two groups that differ."""
        clean, sensitive, label = _data()
        head = fit_sensitive_head(
            clean, sensitive, label, protocol="converged", rng=np.random.default_rng(0)
        )
        offer, argument = self.registry().find("objectives", self.name)
        context = ObjectiveContext(
            head=head,
            clean=torch.from_numpy(clean),
            sensitive=torch.from_numpy(sensitive),
            label=torch.from_numpy(label),
            rng=np.random.default_rng(1),
            argument=argument,
        )
        objective: Objective = offer.plugin.make(context, self.overrides, "objective")
        return objective

    def test_values_are_one_finite_number_a_point_and_independent_of_the_other_points(self) -> None:
        """Values are ``(K,)`` float64, and a point alone has the value that it has among others."""
        objective, (embeddings, a, y) = self.make(), batch(3, 64)
        values = objective.values(embeddings, a, y)
        assert tuple(values.shape) == (3,), f"values have shape {tuple(values.shape)}, not (K,)"
        assert values.dtype == torch.float64, f"values are {values.dtype}, not float64"
        assert torch.isfinite(values).all(), "values hold NaN or infinity"
        alone = torch.cat([objective.values(embeddings[[k]], a[[k]], y[[k]]) for k in range(3)])
        torch.testing.assert_close(values, alone)

    def test_the_arguments_stay_as_they_are(self) -> None:
        """Embeddings and labels are not overwritten."""
        arguments = batch(3, 64)
        before = [argument.clone() for argument in arguments]
        self.make().values(*arguments)
        for name, one, other in zip(("embeddings", "a", "y"), before, arguments, strict=True):
            assert torch.equal(one, other), f"values() changed its argument {name}"

    def test_a_few_images_give_a_finite_value_and_a_finite_gradient(self) -> None:
        """Minibatches of 1, 2 and 5 images, in which a group may be absent."""
        for size in (1, 2, 5):
            embeddings, a, y = batch(4, size)
            embeddings = embeddings.clone().requires_grad_()
            values = self.make().values(embeddings, a, y)
            assert torch.isfinite(values).all(), f"{size} images give NaN or infinity"
            (gradient,) = torch.autograd.grad(values.sum(), embeddings)
            assert torch.isfinite(gradient).all(), (
                f"{size} images give a gradient that is not finite"
            )

    def test_points_of_as_few_images_as_may_be_asked_for_have_different_values(self) -> None:
        """Points of ``least_images`` images differ in value; of one image, if it is not declared."""
        objective = self.make()
        least = objective.least_images if isinstance(objective, ComparingObjective) else 1
        assert isinstance(least, int), f"least_images is {least!r}, no whole number"
        assert least >= 1, f"least_images is {least}, less than 1"
        images = "one image" if least == 1 else f"{least} images"
        assert len(set(objective.values(*batch(200, least)).tolist())) > 1, (
            f"all points of {images} have the same value; if it compares images with one another, "
            "say in least_images how many it needs"
        )

    def test_equal_embeddings_give_a_finite_value(self) -> None:
        """A minibatch without any spread is no division by zero."""
        embeddings, a, y = batch(1, 64)
        values = self.make().values(torch.ones_like(embeddings), a, y)
        assert torch.isfinite(values).all(), "equal embeddings give NaN or infinity"

    def test_gradients_agree_with_differences(self) -> None:
        """The gradient predicts the change of the value along a random direction."""
        objective, (embeddings, a, y) = self.make(), batch(1, 64)
        embeddings = embeddings.double().clone().requires_grad_()
        value = objective.values(embeddings, a, y)[0]
        (gradient,) = torch.autograd.grad(value, embeddings)
        along = np.random.default_rng(3).normal(size=tuple(embeddings.shape))
        direction = torch.from_numpy(along)
        step = 1e-5
        ends = [
            float(objective.values((embeddings + length * direction).detach(), a, y)[0])
            for length in (step, -step)
        ]
        change, predicted = (ends[0] - ends[1]) / (2 * step), float((gradient * direction).sum())
        assert abs(change - predicted) <= 1e-3 * abs(predicted) + 1e-9, (
            f"the gradient predicts a slope of {predicted:.6g}, but it is {change:.6g}"
        )

    def test_mean_over_images_says_what_is_true(self) -> None:
        """With ``mean_over_images`` the value is the mean of the values of both halves."""
        objective, (embeddings, a, y) = self.make(), batch(1, 60)
        halves = [
            objective.values(embeddings[:, part], a[:, part], y[:, part])
            for part in (slice(0, 30), slice(30, 60))
        ]
        same = torch.allclose(objective.values(embeddings, a, y), torch.stack(halves).mean(0))
        assert same == objective.mean_over_images, (
            f"mean_over_images is {objective.mean_over_images}, but the value is "
            f"{'' if same else 'not '}the mean over images"
        )

    def test_a_learned_state_restores(self) -> None:
        """An objective that observes goes on from its saved state with the same values.

        An objective may learn at every few asks only, so it observes more than a dozen before its
        state is saved, and some more afterwards.
        """
        objective = self.make()
        if not isinstance(objective, LearningObjective):
            return
        for number in range(13):
            objective.observe(*batch(4, 16 + number))
        state = {
            key: value.clone() if isinstance(value, Tensor) else value
            for key, value in objective.state_dict().items()
        }
        restored = self.make()
        assert isinstance(restored, LearningObjective)
        restored.load_state_dict(state)
        for number in range(8):
            both = [twin.values(*batch(3, 64)) for twin in (objective, restored)]
            assert torch.equal(*both), (
                f"restored from its state it gives other values after {number} more asks"
            )
            for twin in (objective, restored):
                twin.observe(*batch(4, 40 + number))


def batch(count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings ``(count, size, D)`` with their labels; the same for the same sizes."""
    rng = np.random.default_rng([count, size])
    rows = np.stack([rng.choice(IMAGES, size, replace=False) for _ in range(count)])
    clean, sensitive, label = (torch.from_numpy(array[rows]) for array in _data())
    return clean, sensitive, label


def _data() -> tuple[
    np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    np.ndarray[tuple[int, ...], np.dtype[np.int64]],
]:
    """Embeddings of two groups that differ along one direction, a and y."""
    rng = np.random.default_rng(0)
    sensitive, label = rng.integers(0, 2, IMAGES), rng.integers(0, 2, IMAGES)
    apart = 1.5 * sensitive[:, None] / DIMENSION**0.5
    clean = (rng.normal(size=(IMAGES, DIMENSION)) + apart).astype(np.float32)
    return clean, sensitive, label
