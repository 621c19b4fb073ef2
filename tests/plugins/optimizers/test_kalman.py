"""The Kalman filter against ridge regression and a Gaussian formula; its path and trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from sklearn.linear_model import Ridge
from zobench_plugins.optimizers.kalman import Kalman, KalmanParameters

from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.errors import ConfigError
from zobench.problem.spaces import PixelSpace

SIDE = 32
FLAT = KalmanParameters(side=6, smoothness=0.0, memory=1.0)
LENGTH = FLAT.radius * FLAT.side
"""Norm of a trial's coefficients."""

Floats = NDArray[np.float64]


def make(parameters: KalmanParameters = FLAT, asks: int = 10) -> Kalman:
    budget = asks * (parameters.directions + 1)
    space = PixelSpace(SIDE, SIDE)
    return Kalman(OptimizerContext(space, np.random.default_rng(0), budget, 1, ""), parameters)


def tell(optimizer: Kalman, ask: Ask, slopes: Floats) -> None:
    """Tells values whose forward differences give ``slopes``; the offset of 3 has no effect."""
    values = 3.0 + np.concatenate([[0.0], LENGTH * slopes])
    optimizer.tell(ask, Answer(torch.from_numpy(values)))


def directions(ask: Ask) -> Floats:
    """Unit coefficients ``(q, side**2)`` of the trials, from SciPy's transform of the points."""
    steps = (ask.points[1:] - ask.points[0])[:, 0].double().numpy()
    coefficients = np.stack([dctn(step, norm="ortho")[: FLAT.side, : FLAT.side] for step in steps])
    return coefficients.reshape(len(steps), -1) * FLAT.side / SIDE / LENGTH


def test_with_a_flat_prior_and_no_forgetting_it_is_ridge_regression() -> None:
    """Ridge regression of all slopes on all directions; its penalty is the noise."""
    optimizer, rng = make(), np.random.default_rng(1)
    seen: list[tuple[Floats, Floats]] = []
    for _ in range(5):
        ask = optimizer.ask()
        seen.append((directions(ask), rng.standard_normal(FLAT.directions)))
        tell(optimizer, ask, seen[-1][1])
    ridge = Ridge(alpha=FLAT.noise, fit_intercept=False)
    ridge.fit(np.concatenate([u for u, _ in seen]), np.concatenate([y for _, y in seen]))
    np.testing.assert_allclose(optimizer.gradient.numpy(), ridge.coef_, rtol=1e-4, atol=1e-5)


def test_with_a_smooth_prior_it_is_the_conditional_mean_of_a_gaussian() -> None:
    """The conditional mean given all slopes, whose noise is correlated within a minibatch."""
    optimizer, rng = make(replace(FLAT, smoothness=2.0, corner=3.0)), np.random.default_rng(1)
    squares = np.arange(FLAT.side) ** 2
    prior = np.diag((1.0 + (squares[:, None] + squares).ravel() / 9.0) ** -2.0)
    seen: list[tuple[Floats, Floats]] = []
    for _ in range(4):
        ask = optimizer.ask()
        seen.append((directions(ask), rng.standard_normal(FLAT.directions)))
        tell(optimizer, ask, seen[-1][1])
    along, slopes = (np.concatenate(part) for part in zip(*seen, strict=True))
    noise = np.zeros((len(slopes), len(slopes)))
    for number, (each, _) in enumerate(seen):
        block = slice(number * FLAT.directions, (number + 1) * FLAT.directions)
        noise[block, block] = FLAT.noise * each @ prior @ each.T
    mean = prior @ along.T @ np.linalg.solve(along @ prior @ along.T + noise, slopes)
    np.testing.assert_allclose(optimizer.gradient.numpy(), mean, rtol=1e-3, atol=1e-5)


def test_what_is_only_as_expected_fades_by_the_memory() -> None:
    optimizer = make(replace(FLAT, memory=0.5))
    tell(optimizer, optimizer.ask(), np.linspace(1.0, 2.0, FLAT.directions))
    before = optimizer.gradient.numpy().copy()
    ask = optimizer.ask()
    tell(optimizer, ask, directions(ask) @ before)
    np.testing.assert_allclose(optimizer.gradient.numpy(), before / 2, rtol=1e-3, atol=1e-5)


def test_new_trials_go_where_nothing_is_known() -> None:
    """After 9 of 36 directions are measured almost exactly, new trials are nearly orthogonal."""
    optimizer = make(replace(FLAT, directions=9, noise=1e-3))
    first = optimizer.ask()
    tell(optimizer, first, np.zeros(9))
    assert np.abs(directions(first) @ directions(optimizer.ask()).T).max() < 0.2


def test_trials_are_orthogonal_smooth_and_of_the_radius_around_a_shared_centre() -> None:
    optimizer = make()
    tell(optimizer, optimizer.ask(), np.arange(1.0, 1.0 + FLAT.directions))
    ask = optimizer.ask()
    assert len(set(ask.minibatch.tolist())) == 1
    assert torch.equal(ask.points[0], optimizer.recommend())
    found = directions(ask)
    np.testing.assert_allclose(found @ found.T, np.eye(FLAT.directions), atol=1e-4)
    steps = (ask.points[1:] - ask.points[0]).flatten(1).double()
    rms = steps.square().mean(1).sqrt()  # the lowest frequencies hold the whole step
    torch.testing.assert_close(rms, torch.full_like(rms, FLAT.radius), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_straight_path_is_as_long_as_it_may_be(scale: float) -> None:
    """With constant slopes the edit ends at RMS ``reach``, for any scale of the slopes."""
    optimizer = make(replace(FLAT, directions=36, noise=1e-3), asks=8)
    for _ in range(8):
        ask = optimizer.ask()
        tell(optimizer, ask, scale * directions(ask).sum(1))
    edit = optimizer.recommend()
    assert float(edit.square().mean().sqrt()) == pytest.approx(FLAT.reach, rel=1e-4)
    tell(optimizer, optimizer.ask(), np.arange(36.0))
    assert torch.equal(optimizer.recommend(), edit), "the path is at its end"


def test_without_any_slope_it_stays() -> None:
    optimizer = make()
    tell(optimizer, optimizer.ask(), np.zeros(FLAT.directions))
    assert not optimizer.recommend().any()


@pytest.mark.parametrize("memory", [0.0, 1.0])
def test_the_ends_of_its_parameters_keep_it_sound(memory: float) -> None:
    rough = KalmanParameters(smoothness=3.0, corner=1.0, noise=1e-3, memory=memory)
    optimizer = make(rough, asks=200)
    rng = np.random.default_rng(2)
    for _ in range(200):
        tell(optimizer, optimizer.ask(), rng.standard_normal(rough.directions))
    assert 0 < float(optimizer.recommend().norm()) <= rough.reach * SIDE * 1.001


def test_more_directions_than_frequencies_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"directions is 50, but must be at most 36"):
        make(replace(FLAT, directions=50))
