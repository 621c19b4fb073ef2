"""The last layer of vit-mae: only its sex units hold the sex."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from zobench_encoders.architecture import EMBEDDING
from zobench_encoders.pretraining.alignment import AXES, SEX_UNITS, alignment, principal_axes
from zobench_encoders.pretraining.networks import SUMMARY

Cohort = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Correlated features, sex and finding; sex and a finding above 0 each shift all features."""
    rng = np.random.default_rng(0)
    count, width = 4000, SUMMARY + AXES
    sex, finding = rng.integers(0, 2, count), rng.integers(0, 3, count)
    plain = rng.normal(size=(count, width)) @ (
        np.eye(width) + 0.1 * rng.normal(size=(width, width))
    )
    numbers = plain + np.outer(sex - 0.5, rng.normal(size=width))
    numbers += np.outer(finding > 0, rng.normal(size=width))
    return torch.from_numpy(numbers), torch.from_numpy(sex), torch.from_numpy(finding)


def accuracy(features: Tensor, labels: Tensor) -> float:
    """Accuracy on the second half of a logistic regression fitted to the first half."""
    half = len(labels) // 2
    model = LogisticRegression(max_iter=500).fit(features[:half], labels[:half])
    return float(model.score(features[half:], labels[half:]))


def test_sex_is_read_from_its_units_and_from_nowhere_else(cohort: Cohort) -> None:
    numbers, sex, finding = cohort
    found = torch.nn.functional.hardtanh(alignment(numbers, sex, finding, numbers)(numbers))
    assert tuple(found.shape) == (len(sex), EMBEDDING)
    assert accuracy(numbers, sex) > 0.9
    assert accuracy(found[:, :SEX_UNITS], sex) > 0.9
    assert accuracy(found[:, SEX_UNITS:], sex) < 0.6
    assert accuracy(found[:, SEX_UNITS:], (finding > 0).long()) > 0.9


def test_units_pushed_past_their_end_tell_nothing(cohort: Cohort) -> None:
    numbers, sex, finding = cohort
    last = alignment(numbers, sex, finding, numbers)
    along = numbers[sex == 1].mean(0) - numbers[sex == 0].mean(0)
    pushed = torch.nn.functional.hardtanh(last(numbers + 5 * along))
    assert torch.all(pushed[:, :SEX_UNITS] == 1)


def test_films_of_the_folder_lie_within_the_ends_too(cohort: Cohort) -> None:
    numbers, sex, finding = cohort
    far = numbers + 4 * numbers.std(0)
    alone, both = (alignment(numbers, sex, finding, others)(far) for others in (numbers, far))
    beyond = [(found[:, SEX_UNITS:].abs() > 1).float().mean() for found in (alone, both)]
    assert beyond[1] < 0.1 < beyond[0]


def test_principal_axes_are_those_of_the_singular_value_decomposition() -> None:
    points = torch.from_numpy(np.random.default_rng(1).normal(size=(50, 6)) * np.arange(1, 7))
    _, _, rows = torch.linalg.svd(points - points.mean(0))
    found = principal_axes(points, 3)
    assert torch.allclose((rows[:3] @ found).abs(), torch.eye(3, dtype=points.dtype), atol=1e-9)
