"""The sign of an edit, by what refitted heads read from a few images with it and with its negative."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from zobench_plugins.optimizers.paid_checks import Cells

COUNT, DIMENSION = 48, 6
LABEL, SENSITIVE = np.arange(COUNT) // 2 % 2, np.arange(COUNT) % 2
ROWS = np.arange(COUNT)
CELLS = Cells(LABEL, SENSITIVE, torch.ones(COUNT, dtype=torch.float64))


def embedded(*, disease: float, attribute: float) -> Tensor:
    """Embeddings ``(COUNT, DIMENSION)`` whose first two numbers tell disease and attribute so well."""
    noise = np.random.default_rng(0).standard_normal((COUNT, DIMENSION))
    noise[:, 0] += disease * (2.0 * LABEL - 1.0)
    noise[:, 1] += attribute * (2.0 * SENSITIVE - 1.0)
    return torch.from_numpy(noise).float()


CLEAN = embedded(disease=1.5, attribute=2.0)
HIDDEN = embedded(disease=1.5, attribute=0.0)
SHOWN = embedded(disease=1.5, attribute=4.0)
DESTROYED = torch.zeros(COUNT, DIMENSION)


@pytest.mark.parametrize(
    ("plus", "minus", "sign"),
    [
        (HIDDEN, SHOWN, 1),
        (SHOWN, HIDDEN, -1),
        (HIDDEN, DESTROYED, 1),  # both hide the attribute, and one of them the disease, too
        (DESTROYED, HIDDEN, -1),
        (SHOWN, embedded(disease=0.0, attribute=2.0), 0),  # one shows more, the other one harms
        (CLEAN, CLEAN, 0),
    ],
)
def test_the_sign_is_that_which_hides_the_attribute_and_not_the_disease(
    plus: Tensor, minus: Tensor, sign: int
) -> None:
    assert CELLS.hiding_sign(CLEAN, torch.stack([plus, minus]), ROWS) == sign


def test_the_sign_cannot_be_told_where_a_cell_has_no_image() -> None:
    rows = ROWS[(LABEL == 0) | (SENSITIVE == 1)]
    both = torch.stack([HIDDEN[rows], SHOWN[rows]])
    assert CELLS.hiding_sign(CLEAN[rows], both, rows) is None
