"""The filter against ridge regression, and what the path and the trials promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from zobench_plugins.optimizers.kalman import Kalman, KalmanParameters

from zobench.errors import ConfigError
from zobench.optimizers import Answer, Ask, OptimizerContext
from zobench.spaces import PixelSpace

SIDE = 32
FLAT = KalmanParameters(side=6, smoothness=0.0, memory=1.0)
RADIUS = FLAT.radius


def make(parameters: KalmanParameters = FLAT, asks: int = 10) -> Kalman:
    budget = asks * (parameters.directions + 1)
    space = PixelSpace(SIDE, SIDE)
    return Kalman(OptimizerContext(space, np.random.default_rng(0), budget, 1, ""), parameters)


def told(optimizer: Kalman, ask: Ask, values: torch.Tensor) -> None:
    optimizer.tell(ask, Answer(values.double()))


def test_without_forgetting_the_filter_is_ridge_regression() -> None:
    """Of all slopes seen on all directions, with the noise as penalty, a flat prior and no intercept."""
    optimizer = make()
    rng = np.random.default_rng(1)
    directions, slopes = [], []
    for _ in range(5):
        ask = optimizer.ask()
        seen = rng.standard_normal(FLAT.directions)
        directions.append(optimizer._directions.numpy())
        slopes.append(seen)
        length = RADIUS * FLAT.side
        told(optimizer, ask, torch.from_numpy(np.concatenate([[3.0], 3.0 + length * seen])))
    ridge = Ridge(alpha=FLAT.noise, fit_intercept=False)
    ridge.fit(np.concatenate(directions), np.concatenate(slopes))
    np.testing.assert_allclose(optimizer.gradient.numpy(), ridge.coef_, rtol=1e-5, atol=1e-8)


def test_with_forgetting_old_slopes_fade_and_the_variance_returns_to_the_prior() -> None:
    optimizer = make(replace(FLAT, memory=0.5, noise=0.0))
    told(optimizer, optimizer.ask(), torch.tensor([0.0, *[1.0] * FLAT.directions]))
    first = optimizer.gradient.clone()
    known = optimizer._directions[0]
    for _ in range(3):
        optimizer._directions = torch.zeros_like(optimizer._directions)
        optimizer._directions[:, -1] = 1.0
        optimizer._p = replace(optimizer._p, noise=1e9)
        optimizer._learn(torch.zeros(FLAT.directions, dtype=torch.float64))
    assert float(optimizer.gradient @ known) == pytest.approx(float(first @ known) / 8, rel=1e-3)
    variance = float(known @ optimizer.covariance @ known)
    assert variance == pytest.approx(1 - 1 / 64, rel=1e-3)


def test_trials_are_orthogonal_smooth_and_of_the_radius_around_a_shared_centre() -> None:
    optimizer = make()
    told(optimizer, optimizer.ask(), torch.arange(1.0 + FLAT.directions))
    ask = optimizer.ask()
    assert len(set(ask.minibatch.tolist())) == 1
    assert torch.equal(ask.points[0], optimizer.recommend())
    steps = (ask.points[1:] - ask.points[0]).flatten(1).double()
    gram = steps @ steps.T / SIDE**2
    expected = RADIUS**2 * torch.eye(FLAT.directions, dtype=torch.float64)
    torch.testing.assert_close(gram, expected, rtol=1e-4, atol=1e-4 * RADIUS**2)
    spectrum = torch.fft.rfft2(torch.cat([p := steps[0].reshape(SIDE, SIDE), p.flip(0)])).abs()
    assert float(spectrum[8:-8].square().sum() / spectrum.square().sum()) < 0.05


def test_a_straight_path_is_as_long_as_it_may_be() -> None:
    """Falling along one line, the edit ends at ``reach``, whatever the slope's scale."""
    for scale in (1e-3, 1e3):
        optimizer = make(replace(FLAT, directions=36, noise=0.0), asks=8)
        down = torch.ones(36, dtype=torch.float64)
        for _ in range(8):
            ask = optimizer.ask()
            values = scale * (optimizer._directions @ down)
            told(optimizer, ask, torch.cat([torch.zeros(1), values]))
        edit = optimizer.recommend()
        assert float(edit.square().mean().sqrt()) == pytest.approx(FLAT.reach, rel=1e-4)
        told(optimizer, optimizer.ask(), torch.rand(37))
        assert torch.equal(optimizer.recommend(), edit), "the path is at its end"


def test_without_any_slope_it_stays() -> None:
    optimizer = make()
    told(optimizer, optimizer.ask(), torch.ones(1 + FLAT.directions))
    assert not optimizer.recommend().any()


def test_more_directions_than_frequencies_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"directions is 50, but must be at most 36"):
        make(replace(FLAT, directions=50))
