"""Scattered pairs against ridge regression of scikit-learn, and on images with slopes of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from sklearn.linear_model import Ridge
from torch import Tensor
from zobench_plugins.optimizers.frequencies import spectrum
from zobench_plugins.optimizers.scattered_pairs import ScatteredPairs, ScatteredPairsParameters

from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.problem.spaces import PixelSpace

SIDE = 16
SMALL = ScatteredPairsParameters(side=5, pairs=16, memory=200, stride=0.003)


def optimizer(
    parameters: ScatteredPairsParameters = SMALL, budget: int = 10_000, seed: int = 0
) -> ScatteredPairs:
    rng = np.random.default_rng(seed)
    return ScatteredPairs(OptimizerContext(PixelSpace(SIDE, SIDE), rng, budget, 64), parameters)


def coefficients(points: Tensor, side: int = SMALL.side) -> np.ndarray:
    """Coefficients ``(K, P)`` of points ``(K, 1, H, W)`` in the span of the lowest frequencies."""
    transformed = dctn(points[:, 0].double().numpy(), axes=(1, 2), norm="ortho")
    lowest: np.ndarray = transformed[:, :side, :side] * side / SIDE
    return lowest.reshape(len(points), -1)


class Images:
    """Values that are linear in the coefficients, with a slope for each image number."""

    def __init__(self, spread: float) -> None:
        rng = np.random.default_rng(5)
        self.mean = rng.standard_normal(SMALL.side**2)
        self.spread = spread

    def answer(self, ask: Ask) -> Answer:
        assert ask.minibatch is not None
        values = []
        for place, number in zip(coefficients(ask.points), ask.minibatch, strict=True):
            own = np.random.default_rng(number)
            slope = self.mean + self.spread * own.standard_normal(len(self.mean))
            values.append(5.0 * own.standard_normal() + place @ slope)
        return Answer(torch.tensor(values, dtype=torch.float64))


def drive(found: ScatteredPairs, images: Images, asks: int) -> list[Ask]:
    seen = []
    for _ in range(asks):
        seen.append(found.ask())
        found.tell(seen[-1], images.answer(seen[-1]))
    return seen


def test_a_pair_has_its_own_image_and_opposite_points() -> None:
    seen = drive(optimizer(), Images(1.0), 3)
    numbers = np.stack([each.minibatch for each in seen])
    plus, minus = numbers[:, : SMALL.pairs], numbers[:, SMALL.pairs :]
    assert np.array_equal(plus, minus)
    assert len(np.unique(plus)) == 3 * SMALL.pairs
    assert all(each.images == 1 for each in seen)
    assert seen[0].price(64, 2) == 2 * SMALL.pairs
    points = seen[1].points.double()
    centre = (points[: SMALL.pairs] + points[SMALL.pairs :]) / 2.0
    half = (points[: SMALL.pairs] - points[SMALL.pairs :]) / 2.0
    assert torch.allclose(centre, centre[:1].expand_as(centre), atol=1e-6)
    rms = half.square().mean((1, 2, 3)).sqrt().numpy()
    np.testing.assert_allclose(rms, SMALL.radius, rtol=1e-5)


def test_the_step_is_along_ridge_regression_on_the_last_pairs() -> None:
    images, found = Images(2.0), optimizer(replace(SMALL, memory=40))
    seen = drive(found, images, 5)
    before, last = (coefficients(each.points) for each in (seen[-1], found.ask()))
    middle = (before[: SMALL.pairs] + before[SMALL.pairs :]) / 2.0
    after = (last[: SMALL.pairs] + last[SMALL.pairs :]) / 2.0
    step = after[0] - middle[0]

    halves, changes = [], []
    for ask in seen:
        places, values = coefficients(ask.points), images.answer(ask).values.numpy()
        halves.append((places[: SMALL.pairs] - places[SMALL.pairs :]) / 2.0)
        changes.append((values[: SMALL.pairs] - values[SMALL.pairs :]) / 2.0)
    half, change = np.concatenate(halves)[-40:], np.concatenate(changes)[-40:]
    root = spectrum(SMALL.side, SMALL.smoothness, SMALL.corner).sqrt().numpy()
    features = half * root
    noise = SMALL.noise * (features**2).sum(1).mean()
    slope = root * Ridge(alpha=noise, fit_intercept=False).fit(features, change).coef_
    expected = -slope / np.linalg.norm(slope) * SMALL.stride * SMALL.side / np.sqrt(5)
    np.testing.assert_allclose(step, expected, rtol=1e-3, atol=1e-6)


def test_finds_the_mean_slope_of_images_that_differ() -> None:
    images = Images(1.0)
    found = optimizer(replace(SMALL, length=10.0))
    drive(found, images, 40)
    edit = coefficients(found.recommend()[None])[0]
    cosine = -edit @ images.mean / np.linalg.norm(edit) / np.linalg.norm(images.mean)
    assert cosine > 0.9


@pytest.mark.parametrize("length", [0.004, 0.01])
def test_the_edit_is_no_longer_than_allowed(length: float) -> None:
    found = optimizer(replace(SMALL, length=length))
    drive(found, Images(0.1), 30)
    rms = float(found.recommend().double().square().mean().sqrt())
    np.testing.assert_allclose(rms, length, rtol=1e-4)


def test_the_path_does_not_depend_on_the_budget() -> None:
    short, long = (drive(optimizer(budget=each), Images(1.0), 4) for each in (200, 100_000))
    for one, other in zip(short, long, strict=True):
        assert torch.equal(one.points, other.points)


def test_a_budget_below_one_ask_gets_fewer_pairs() -> None:
    assert len(optimizer(budget=10).ask().points) == 10
