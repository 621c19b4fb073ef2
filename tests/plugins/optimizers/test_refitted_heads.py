"""Refitted heads against scikit-learn's ridge regression, fitted again for every left-out image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from zobench_plugins.optimizers.refitted_heads import (
    HEAD_PENALTY,
    LEFT_OUT_PENALTY,
    left_out_rates,
    residuals,
)


def scaled(embeddings: np.ndarray) -> np.ndarray:
    """Standardised with the spread that torch's ``std`` gives."""
    count = len(embeddings)
    return np.asarray(StandardScaler().fit_transform(embeddings) * np.sqrt((count - 1) / count))


@pytest.mark.parametrize("dimension", [3, 60])
def test_the_head_and_its_residuals_are_those_of_weighted_ridge_regression(dimension: int) -> None:
    """Fewer and more embedding numbers than images: the two systems have one solution."""
    rng = np.random.default_rng(dimension)
    embeddings = 3.0 + rng.standard_normal((40, dimension)) * rng.uniform(0.1, 5.0, dimension)
    target = rng.choice([-1.0, 1.0], 40)
    weights = rng.uniform(0.2, 1.8, 40)
    weights /= weights.mean()
    features = scaled(embeddings)
    ridge = Ridge(alpha=40 * HEAD_PENALTY).fit(features, target, sample_weight=weights)
    head, left = residuals(*map(torch.from_numpy, (embeddings, target, weights)))
    np.testing.assert_allclose(head.numpy() * embeddings.std(0, ddof=1), ridge.coef_, rtol=1e-8)
    expected = weights * (target - ridge.predict(features))
    np.testing.assert_allclose(left.numpy(), expected, rtol=1e-8, atol=1e-10)


def test_the_gap_is_that_of_heads_fitted_without_each_image() -> None:
    rng = np.random.default_rng(0)
    label, sensitive = rng.integers(0, 2, (2, 48))
    embeddings = rng.standard_normal((48, 5))
    embeddings[:, 0] += 2.0 * label + 1.5 * sensitive
    weights = rng.uniform(0.5, 1.5, 48)
    features = np.column_stack([scaled(embeddings), np.ones(48)])
    scores = np.empty(48)
    for image in range(48):
        others = np.arange(48) != image
        ridge = Ridge(alpha=48 * LEFT_OUT_PENALTY, fit_intercept=False)
        ridge.fit(features[others], 2.0 * label[others] - 1.0, sample_weight=weights[others])
        scores[image] = ridge.predict(features[image : image + 1])[0]
    cells = [scores[(label == y) & (sensitive == a)] for y in (0, 1) for a in (0, 1)]
    within = np.sqrt(np.mean([np.var(each) for each in cells]))
    rates = [norm.cdf(each.mean(), scale=within) for each in cells]
    expected = (abs(rates[1] - rates[0]) + abs(rates[3] - rates[2])) / 2.0
    told = torch.from_numpy(embeddings), label, sensitive, torch.from_numpy(weights)
    rates_found = left_out_rates(*told)
    assert rates_found is not None
    assert rates_found.error == pytest.approx(
        (rates[0] + rates[1] + 2.0 - rates[2] - rates[3]) / 4.0
    )
    assert rates_found.gap == pytest.approx(expected, rel=1e-8)


def test_without_images_in_a_cell_there_are_no_rates() -> None:
    embeddings, ones = torch.randn(6, 2, generator=torch.manual_seed(0)).double(), np.ones(6, int)
    assert left_out_rates(embeddings, np.array([0, 1] * 3), ones, torch.ones(6)) is None
