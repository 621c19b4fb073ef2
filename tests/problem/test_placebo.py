"""A placebo has the edit's spectrum and norm, and nothing else of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zobench.problem.placebo import placebo


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 40), st.integers(4, 40), st.integers(0, 2**32 - 1))
def test_magnitudes_and_norm_are_kept_and_phases_are_new(
    height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    edit = torch.from_numpy(rng.normal(size=(1, height, width)).cumsum(1)).float()
    drawn = placebo(edit, np.random.default_rng(seed + 1))
    assert drawn.shape == edit.shape
    assert drawn.dtype == torch.float32
    one, other = (np.abs(np.fft.fft2(each[0].double().numpy())) for each in (edit, drawn))
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * one.max())
    assert float(drawn.norm()) == pytest.approx(float(edit.norm()), rel=1e-5)


def test_two_placebos_of_one_edit_differ_and_equal_streams_give_equal_ones() -> None:
    edit = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))
    first, again, other = (placebo(edit, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    cosine = float((first * other).sum() / first.norm() / other.norm())
    assert abs(cosine) < 0.2
    assert abs(float((first * edit).sum() / first.norm() / edit.norm())) < 0.2


def test_the_placebo_of_no_edit_is_no_edit() -> None:
    assert not placebo(torch.zeros(1, 8, 8), np.random.default_rng(0)).any()
