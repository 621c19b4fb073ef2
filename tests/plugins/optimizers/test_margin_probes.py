"""Margin probes on images of a logistic head, against scikit-learn with the best of all signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from sklearn.linear_model import Ridge
from torch import Tensor
from zobench_plugins.optimizers.frequencies import spectrum
from zobench_plugins.optimizers.margin_probes import MarginProbes, MarginProbesParameters

from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.problem.spaces import PixelSpace

SIDE = 16
SMALL = MarginProbesParameters(side=5, points=12, images=4, memory=100)
PENALTY = 0.08


def optimizer(
    parameters: MarginProbesParameters = SMALL, budget: int = 10_000, seed: int = 0
) -> MarginProbes:
    rng = np.random.default_rng(seed)
    return MarginProbes(OptimizerContext(PixelSpace(SIDE, SIDE), rng, budget, 64), parameters)


def coefficients(points: Tensor) -> np.ndarray:
    """Coefficients ``(K, P)`` of points ``(K, 1, H, W)`` in the span of the lowest frequencies."""
    transformed = dctn(points[:, 0].double().numpy(), axes=(1, 2), norm="ortho")
    lowest: np.ndarray = transformed[:, : SMALL.side, : SMALL.side] * SMALL.side / SIDE
    return lowest.reshape(len(points), -1)


class Head:
    """L of single images: scores that are linear in the coefficients, read by a logistic head.

    Most images are read rightly and surely, so that L is nearly flat, as on clean embeddings.
    ``levels`` are the margins of the first images without an edit.
    """

    def __init__(
        self, spread: float, share: float = 0.5, levels: Sequence[float] = (), seed: int = 5
    ) -> None:
        rng = np.random.default_rng(seed)
        self.levels, self.seed = levels, seed
        self.mean = 12.0 * rng.standard_normal(SMALL.side**2)
        self.spread, self.share = spread, share

    def sign(self, image: int) -> float:
        return 1.0 if np.random.default_rng([1, self.seed, image]).random() < self.share else -1.0

    def margins(self, ask: Ask) -> np.ndarray:
        assert ask.minibatch is not None
        found = []
        for place, image in zip(coefficients(ask.points), ask.minibatch, strict=True):
            own = np.random.default_rng([2, self.seed, int(image)])
            level = 3.0 + 1.5 * own.standard_normal()
            level = self.levels[image] if image < len(self.levels) else level
            slope = self.mean + self.spread * own.standard_normal(len(self.mean))
            found.append(level + self.sign(int(image)) * (place @ slope))
        return np.array(found)

    def answer(self, ask: Ask) -> Answer:
        values = PENALTY - np.logaddexp(0.0, -self.margins(ask))
        return Answer(torch.from_numpy(values))


def drive(found: MarginProbes, head: Head, asks: int) -> list[Ask]:
    seen = []
    for _ in range(asks):
        seen.append(found.ask())
        found.tell(seen[-1], head.answer(seen[-1]))
    return seen


def cosine(found: MarginProbes, head: Head) -> float:
    """Of the edit with the direction that moves all scores most."""
    edit = coefficients(found.recommend()[None])[0]
    return float(edit @ head.mean / np.linalg.norm(edit) / np.linalg.norm(head.mean))


def test_an_ask_has_new_images_with_several_points_of_equal_length_on_each() -> None:
    seen = drive(optimizer(), Head(1.0), 3)
    images = np.concatenate([each.minibatch for each in seen])
    assert np.array_equal(images, np.repeat(np.arange(12), SMALL.points))
    assert all(each.images == 1 for each in seen)
    assert seen[0].price(64, 2) == SMALL.points * SMALL.images
    rms = seen[1].points.double().square().mean((1, 2, 3)).sqrt().numpy()
    np.testing.assert_allclose(rms, SMALL.radius, rtol=1e-5)


def best_edit(
    seen: list[Ask], head: Head, last: int, settings: MarginProbesParameters
) -> np.ndarray:
    """Coefficients of the edit by ridge regression with the best of all signs of the last images."""
    root = spectrum(settings.side, settings.smoothness, settings.corner).sqrt().numpy()
    shape = (-1, settings.points)
    places = np.concatenate([coefficients(ask.points) for ask in seen])
    probes = places / np.linalg.norm(places, axis=1, keepdims=True) * root
    probes = probes.reshape(*shape, len(root))[-last:]
    values = np.concatenate([head.answer(ask).values.numpy() for ask in seen])
    values = values.reshape(shape)[-last:]
    margins = -np.log(np.expm1(np.clip(values.max() - values, 1e-3, 50.0)))
    features = (probes - probes.mean(1, keepdims=True)).reshape(-1, len(root))
    ridge = Ridge(settings.noise * (probes**2).sum(-1).mean(), fit_intercept=False)
    signs = np.array([(1, *rest) for rest in product((1, -1), repeat=last - 1)])
    targets = (signs[:, :, None] * margins).reshape(len(signs), -1).T
    slopes = ridge.fit(features, targets).coef_
    best = slopes[np.einsum("pk,kp->k", features.T @ targets, slopes).argmax()]
    rise = ridge.fit(features, values.ravel()).coef_
    edit: np.ndarray = root * best * -np.sign((root * best) @ (root * rise))
    return edit / np.linalg.norm(edit) * settings.length * settings.side


STEEP = replace(SMALL, corner=1.0, points=8)
"""A prior that falls at once, so that whitened and plain coefficients differ."""


@pytest.mark.parametrize("seed", range(24))
def test_the_edit_is_that_of_ridge_regression_with_the_best_of_all_signs(seed: int) -> None:
    """One image is read surely, which tells the penalty, and one is misread."""
    head, found = Head(12.0, levels=(40.0, -2.5, 1.0), seed=seed), optimizer(STEEP, seed=seed)
    seen = drive(found, head, 2)
    edit = coefficients(found.recommend()[None])[0]
    np.testing.assert_allclose(edit, best_edit(seen, head, 8, STEEP), atol=1e-5 * STEEP.side)


def test_finds_the_common_slope_where_l_is_nearly_flat() -> None:
    head, found = Head(6.0), optimizer()
    drive(found, head, 12)
    assert abs(cosine(found, head)) > 0.9
    some = found.ask()
    assert float(np.median(PENALTY - head.answer(some).values.numpy())) < 0.1


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_the_edit_goes_to_the_side_on_which_l_falls(share: float) -> None:
    """Where most signs are positive, lower scores misread more images, so L falls along them."""
    head, found = Head(2.0, share), optimizer()
    drive(found, head, 12)
    assert cosine(found, head) * (0.5 - share) > 0.35


def test_one_group_alone_and_values_without_a_form_give_an_edit_that_is_no_longer() -> None:
    for head in (Head(2.0, 1.0), Head(0.0)):
        found = optimizer()
        drive(found, head, 2)
        rms = float(found.recommend().double().square().mean().sqrt())
        np.testing.assert_allclose(rms, SMALL.length, rtol=1e-4)
    found = optimizer()
    ask = found.ask()
    found.tell(ask, Answer(torch.full((len(ask.points),), -7.0, dtype=torch.float64)))
    assert float(found.recommend().double().square().mean().sqrt()) < SMALL.length * 1.0001


def test_no_edit_before_the_first_answer() -> None:
    assert not optimizer().recommend().any()


def test_only_the_last_images_count() -> None:
    settings = replace(STEEP, memory=6)
    head, found = Head(2.0), optimizer(settings)
    seen = drive(found, head, 5)
    assert len(found.values) == len(found.probes) == 6
    edit = coefficients(found.recommend()[None])[0]
    np.testing.assert_allclose(edit, best_edit(seen, head, 6, settings), atol=1e-5 * settings.side)
    images = found.ask().minibatch
    assert images is not None
    assert images.min() == 20


def test_the_path_depends_on_no_answer_and_no_larger_budget() -> None:
    first = drive(optimizer(budget=200), Head(1.0), 4)
    for other in (drive(optimizer(budget=100_000), Head(1.0), 4), drive(optimizer(), Head(9.0), 4)):
        for one, two in zip(first, other, strict=True):
            assert torch.equal(one.points, two.points)


@pytest.mark.parametrize(
    ("budget", "asked"), [(1, 1), (10, 10), (12, 12), (30, 24), (48, 48), (50, 48)]
)
def test_a_budget_below_one_ask_gets_fewer_points(budget: int, asked: int) -> None:
    found = optimizer(budget=budget)
    ask = found.ask()
    assert len(ask.points) == asked
    found.tell(ask, Head(1.0).answer(ask))
    assert torch.isfinite(found.recommend()).all()
    assert MarginProbes.paced(SMALL, budget) == (budget < 48)
