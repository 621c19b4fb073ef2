"""The Gaussian process over Jacobians against the dense formula for a conditional mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from zobench_plugins.optimizers.jacobian_field import JacobianField

IMAGES, COEFFICIENTS, OUTPUTS, PROBES = 5, 4, 3, 11  # 25 distances have one median


def test_the_means_are_those_of_a_gaussian_given_the_probes() -> None:
    """Every entry of every Jacobian is one variable of a Gaussian; its joint covariance is dense."""
    rng = np.random.default_rng(0)
    clean = rng.standard_normal((IMAGES, OUTPUTS))
    prior = rng.uniform(0.2, 2.0, COEFFICIENTS)
    probes = rng.standard_normal((PROBES, COEFFICIENTS))
    rows = rng.integers(0, IMAGES, PROBES)
    changes = rng.standard_normal((PROBES, OUTPUTS))
    field = JacobianField.of(torch.from_numpy(clean), torch.from_numpy(prior), noise=0.5)

    squares = cdist(clean, clean, "sqeuclidean")
    between = 1.0 + np.exp(-squares / np.median(squares))
    joint = np.kron(between, np.diag(prior))  # of the entries (image, coefficient)
    seen = np.zeros((PROBES, IMAGES * COEFFICIENTS))
    for number, row in enumerate(rows):
        seen[number, row * COEFFICIENTS : (row + 1) * COEFFICIENTS] = probes[number]
    covariance = seen @ joint @ seen.T
    covariance += 0.5 * np.diag(covariance).mean() * np.eye(PROBES)
    posterior = joint @ seen.T @ np.linalg.solve(covariance, changes)
    jacobians = posterior.reshape(IMAGES, COEFFICIENTS, OUTPUTS)

    told = torch.from_numpy(probes), rows, torch.from_numpy(changes)
    mean = field.mean(*told)
    np.testing.assert_allclose(mean.numpy(), jacobians.mean(0), rtol=1e-9, atol=1e-12)

    head, weights = rng.standard_normal(OUTPUTS), rng.standard_normal(PROBES)
    expected = np.mean([w * jacobians[row] @ head for w, row in zip(weights, rows, strict=True)], 0)
    scores = torch.from_numpy(changes @ head)
    slope = field.slope(told[0], rows, scores, torch.from_numpy(weights))
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_equal_clean_embeddings_have_equal_jacobians() -> None:
    """All distances are exactly 0, so no length scale can be taken from them."""
    field = JacobianField.of(torch.full((64, 30), 0.1), torch.ones(3), noise=1.0)
    rows = np.arange(64)
    np.testing.assert_array_equal(field.covariance(rows, rows).numpy(), np.full((64, 64), 2.0))


def test_no_more_than_a_sample_of_many_images_is_compared() -> None:
    rng = np.random.default_rng(0)
    clean = torch.from_numpy(rng.standard_normal((1023, 2)))
    field = JacobianField.of(clean, torch.ones(1), noise=1.0)
    some = clean.numpy()[::2]
    assert len(some) == 512
    median = np.sort(cdist(some, some, "sqeuclidean"), axis=None)[len(some) ** 2 // 2 - 1]
    assert field.scale == pytest.approx(median, rel=1e-6)
