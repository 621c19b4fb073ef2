"""Heads against scikit-learn and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from zobench.problem.heads import L2, Head, cell_weights, fit_head, fit_sensitive_head


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 20)) * rng.uniform(0.1, 30, 20) + rng.normal(size=20) * 10
    y = (x[:, 0] / x[:, 0].std() + rng.normal(size=300) > 0).astype(np.int64)
    return x, y


def test_converged_is_the_optimum_that_scikit_learn_finds(data: tuple) -> None:
    x, y = data
    head = fit_head(x, y, protocol="converged", role="disease", rng=np.random.default_rng(0))
    scaled = StandardScaler().fit_transform(x)
    reference = LogisticRegression(C=1 / (L2 * len(x)), tol=1e-10, max_iter=10_000).fit(scaled, y)
    np.testing.assert_allclose(
        head.score(x), reference.decision_function(scaled), rtol=1e-4, atol=1e-4
    )


def test_converged_does_not_depend_on_chance_or_on_the_scale_of_features(data: tuple) -> None:
    x, y = data
    scores = [
        fit_head(z, y, protocol="converged", role="disease", rng=np.random.default_rng(s)).score(z)
        for z, s in ((x, 0), (x, 1), (x * 1000 + 5, 2))
    ]
    assert np.array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-4, atol=1e-5)


def biased() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature 0 depends on SA, feature 1 on the disease; both labels agree in 95 % of rows."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 2, 800)
    y = np.where(rng.random(800) < 0.95, a, 1 - a)
    x = rng.normal(size=(800, 6))
    x[:, 0] += 2.5 * a
    x[:, 1] += 2.5 * y
    return x, a, y


def test_the_converged_sensitive_head_weighs_cells_as_scikit_learn_does() -> None:
    x, a, y = biased()
    head = fit_sensitive_head(x, a, y, protocol="converged", rng=np.random.default_rng(0))
    scaled = StandardScaler().fit_transform(x)
    reference = LogisticRegression(C=1 / (L2 * len(x)), tol=1e-10, max_iter=10_000)
    reference.fit(scaled, a, sample_weight=compute_sample_weight("balanced", 2 * y + a))
    np.testing.assert_allclose(
        head.score(x), reference.decision_function(scaled), rtol=1e-4, atol=1e-4
    )


def test_the_converged_sensitive_head_does_not_read_the_disease_for_the_attribute() -> None:
    x, a, y = biased()
    rng = np.random.default_rng(0)
    plain = fit_head(x, a, protocol="converged", role="sensitive", rng=rng).weight[1]
    weighed = fit_sensitive_head(x, a, y, protocol="converged", rng=rng).weight[1]
    assert plain[1] > 0.5 * plain[0]
    assert abs(weighed[1]) < 0.15 * weighed[0]


def test_an_empty_cell_leaves_the_others_alike() -> None:
    weights = cell_weights(np.array([1, 1, 0, 0, 0]), np.array([1, 1, 0, 0, 1]))
    np.testing.assert_allclose(weights, [5 / 6, 5 / 6, 5 / 6, 5 / 6, 5 / 3])


def test_a_constant_feature_is_harmless(data: tuple) -> None:
    x, y = data
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    head = fit_head(x, y, protocol="converged", role="disease", rng=np.random.default_rng(0))
    assert np.isfinite(head.score(x)).all()


@pytest.mark.parametrize("role", ["sensitive", "disease"])
def test_paper_learns_reproducibly_from_its_stream(data: tuple, role: str) -> None:
    x, y = data
    x = (x - x.mean(0)) / x.std(0)
    one, two, other = (
        fit_head(x, y, protocol="paper", role=role, rng=np.random.default_rng(s)) for s in (0, 0, 1)
    )
    assert np.array_equal(one.weight, two.weight)
    assert not np.array_equal(one.weight, other.weight)


def test_cross_entropy_is_torchs() -> None:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(2, 5)), rng.normal(size=2))
    z, y = torch.randn(4, 7, 5), torch.randint(0, 2, (4, 7))
    found = head.cross_entropy(z, y)
    logits = torch.from_numpy(head.logits(z.numpy()))
    expected = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 2), y.reshape(-1), reduction="none"
    )
    torch.testing.assert_close(found, expected.reshape(4, 7))
