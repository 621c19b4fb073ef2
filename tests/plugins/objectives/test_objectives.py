"""Objectives against scipy, scikit-learn and plain formulas, and what they cannot be fooled by."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor

from zobench.contracts.objective import (
    ComparingObjective,
    LearningObjective,
    Objective,
    ObjectiveContext,
)
from zobench.problem.heads import Head, fit_sensitive_head
from zobench.registry.discovery import load_registry
from zobench.testing import ObjectiveConformance
from zobench.testing.checking import requirements

REGISTRY = load_registry()
NAMES = sorted(REGISTRY.offers["objectives"])
HARD = [name for name in NAMES if name != "dne"]
IMAGES, DIMENSION = 200, 12
RNG = np.random.default_rng(0)
SENSITIVE, LABEL = RNG.integers(0, 2, IMAGES), RNG.integers(0, 2, IMAGES)
CLEAN = (RNG.normal(size=(IMAGES, DIMENSION)) + 1.5 * SENSITIVE[:, None] / DIMENSION**0.5).astype(
    np.float32
)


def made(name: str, **overrides: Any) -> Objective:
    head = fit_sensitive_head(
        CLEAN, SENSITIVE, LABEL, protocol="converged", rng=np.random.default_rng(0)
    )
    context = ObjectiveContext(
        head, *map(torch.from_numpy, (CLEAN, SENSITIVE, LABEL)), np.random.default_rng(1)
    )
    offer, _ = REGISTRY.find("objectives", name)
    objective: Objective = offer.plugin.make(context, overrides, "objective")
    return objective


def batch(count: int = 3, size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    rows = torch.from_numpy(
        np.stack([RNG.choice(IMAGES, size, replace=False) for _ in range(count)])
    )
    return tuple(torch.from_numpy(each)[rows] for each in (CLEAN, SENSITIVE, LABEL))  # type: ignore[return-value]


@pytest.mark.parametrize("requirement", requirements(ObjectiveConformance))
@pytest.mark.parametrize("name", NAMES)
def test_each_meets(name: str, requirement: str) -> None:
    getattr(type("Suite", (ObjectiveConformance,), {"name": name})(), requirement)()


@pytest.mark.parametrize("name", NAMES)
def test_groups_without_any_spread_and_nearly_equal_embeddings_give_finite_numbers(
    name: str,
) -> None:
    a, y = torch.tensor([[0, 0, 1, 1]]), torch.zeros(1, 4, dtype=torch.int64)
    two = torch.from_numpy(CLEAN[[0, 0, 1, 1]])[None].clone().requires_grad_()
    near = torch.full((1, 4, DIMENSION), 3.0)
    near[0, 1, 0] = near[0, 2, 3] = torch.nextafter(torch.tensor(3.0), torch.tensor(4.0))
    for embeddings in (two, near.requires_grad_()):
        values = made(name).values(embeddings, a, y)
        (gradient,) = torch.autograd.grad(values.sum(), embeddings)
        assert torch.isfinite(values).all()
        assert torch.isfinite(gradient).all()


def test_dne_is_minus_the_cross_entropy_of_g() -> None:
    embeddings, a, y = batch(2)
    head = fit_sensitive_head(
        CLEAN, SENSITIVE, LABEL, protocol="converged", rng=np.random.default_rng(0)
    )
    logits = embeddings.double() @ torch.from_numpy(head.weight).T + torch.from_numpy(head.bias)
    expected = [-torch.nn.functional.cross_entropy(logits[k], a[k]) for k in range(2)]
    torch.testing.assert_close(made("dne").values(embeddings, a, y), torch.stack(expected))


def test_fisher_is_the_mahalanobis_distance_with_the_shrunk_covariance() -> None:
    embeddings, a, y = batch(1)
    expected = []
    for disease in (0, 1):
        groups = [
            embeddings[0][(y[0] == disease) & (a[0] == each)].double().numpy() for each in (0, 1)
        ]
        difference = groups[1].mean(0) - groups[0].mean(0)
        deviations = np.concatenate([each - each.mean(0) for each in groups])
        covariance = EmpiricalCovariance(assume_centered=True).fit(deviations).covariance_
        size = np.trace(covariance) / DIMENSION
        shrunk = 0.7 * covariance + 0.3 * size * np.eye(DIMENSION)
        expected.append(difference @ np.linalg.solve(shrunk, difference))
    found = made("fisher", shrinkage=0.3).values(embeddings, a, y)
    assert float(found[0]) == pytest.approx(np.mean(expected), rel=1e-9)


def test_mmd_is_the_unbiased_estimate_of_gretton_et_al() -> None:
    embeddings, a, y = batch(1)
    expected = []
    for disease in (0, 1):
        x, z = (
            embeddings[0][(y[0] == disease) & (a[0] == each)].double().numpy() for each in (0, 1)
        )
        both = np.concatenate([x, z])
        squares = cdist(both, both, "sqeuclidean")
        positive = np.sort(squares[squares > 1e-12])
        median = positive[(len(positive) - 1) // 2]

        def kernel(one: Any, other: Any, width: float, median: float = median) -> Any:
            return np.exp(-cdist(one, other, "sqeuclidean") / (2 * width**2 * median))

        for width in (0.5, 1.0, 2.0):
            n, m = len(x), len(z)
            xx, zz, xz = kernel(x, x, width), kernel(z, z, width), kernel(x, z, width)
            within = (xx.sum() - n) / (n * (n - 1)) + (zz.sum() - m) / (m * (m - 1))
            expected.append(within - 2 * xz.mean())
    assert float(made("mmd").values(embeddings, a, y)[0]) == pytest.approx(
        np.mean(expected), rel=1e-6
    )


@pytest.mark.parametrize("name", ["fisher", "mmd"])
def test_a_comparison_of_groups_needs_both_groups_of_a_cell(name: str) -> None:
    objective, (embeddings, *_) = made(name), batch(1)
    assert isinstance(objective, ComparingObjective)
    least = objective.least_images
    a, y = torch.arange(least)[None] % 2, torch.zeros(1, least, dtype=torch.int64)
    assert float(objective.values(embeddings[:, :least], a, y)[0]) != 0
    fewer = (each[:, 1:] for each in (embeddings[:, :least], a, y))
    assert float(objective.values(*fewer)[0]) == 0


class Undeclared:
    """An objective without its ``least_images``."""

    mean_over_images: ClassVar[bool] = False

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        return self._objective.values(embeddings, sensitive, label)


def test_a_comparison_that_does_not_say_how_many_images_it_needs_is_found() -> None:
    class Silent(ObjectiveConformance):
        name = "fisher"

        def make(self) -> Objective:
            return Undeclared(super().make())

    with pytest.raises(AssertionError, match=r"one image have the same value.* least_images"):
        Silent().test_points_of_as_few_images_as_may_be_asked_for_have_different_values()


@pytest.mark.parametrize("name", ["fisher", "mmd"])
def test_a_common_shift_or_scale_lowers_dne_and_leaves_these_as_they_are(name: str) -> None:
    objective, (embeddings, a, y) = made(name), batch(1)
    before = objective.values(embeddings, a, y)
    shifted = embeddings + 10 * torch.ones(DIMENSION)
    torch.testing.assert_close(objective.values(shifted, a, y), before, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(objective.values(3 * embeddings, a, y), before, rtol=1e-3, atol=1e-4)
    dne = made("dne")
    assert float(dne.values(shifted, a, y)[0]) < float(dne.values(embeddings, a, y)[0]) - 1


def test_a_common_shift_fools_the_adversary_until_it_is_refitted() -> None:
    objective = made("adversary", every=1)
    assert isinstance(objective, LearningObjective)
    embeddings, a, y = batch(4)
    head = Head(objective.weight.numpy(), objective.bias.numpy())  # type: ignore[attr-defined]
    along = torch.from_numpy(head.weight[1] - head.weight[0]).float()
    shifted = embeddings + 20 * along / along.norm()
    clean = float(objective.values(embeddings, a, y).mean())
    assert float(objective.values(shifted, a, y).mean()) < clean - 1
    objective.observe(shifted, a, y)
    assert float(objective.values(shifted, a, y).mean()) > clean - 0.1


def test_the_adversary_s_state_is_bounded_and_restores_it() -> None:
    one, other = made("adversary", every=2, memory=100), made("adversary", every=2, memory=100)
    assert isinstance(one, LearningObjective)
    assert isinstance(other, LearningObjective)
    for _ in range(3):
        one.observe(*batch(3))
    state = one.state_dict()
    assert state["embeddings"].shape == (100, DIMENSION)  # type: ignore[union-attr]
    other.load_state_dict(state)
    for _ in range(3):
        told = batch(2)
        one.observe(*told)
        other.observe(*told)
    embeddings, a, y = batch(2)
    assert torch.equal(one.values(embeddings, a, y), other.values(embeddings, a, y))


def test_an_objective_that_forgets_what_it_learned_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = type(made("adversary"))
    monkeypatch.setattr(kind, "state_dict", lambda self: {})
    monkeypatch.setattr(kind, "load_state_dict", lambda self, state: None)
    suite = type("Suite", (ObjectiveConformance,), {"name": "adversary"})()
    with pytest.raises(AssertionError, match="restored from its state it gives other values"):
        suite.test_a_learned_state_restores()
