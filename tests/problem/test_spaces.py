"""Spaces are linear, with exact adjoints and the documented scale; against scipy and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import idctn

from zobench.errors import ConfigError
from zobench.problem.spaces import Space, make_space

IMAGE = (1, 40, 48)
NAMES = ["pixel", "lowres:8", "dct:8", "patch:16", "lowres:40", "dct:40", "patch:1"]


@pytest.fixture(params=NAMES)
def space(request: pytest.FixtureRequest) -> Space:
    return make_space(request.param, IMAGE)


def draw(space: Space, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *space.shape, generator=torch.Generator().manual_seed(seed))


def test_decodes_to_edits_and_zero_to_none(space: Space) -> None:
    assert tuple(space.decode(draw(space, 3)).shape) == (3, 1, 40, 48)
    assert not space.decode(torch.zeros(1, *space.shape)).any()


def test_is_linear(space: Space) -> None:
    x, y = draw(space, 1, 0), draw(space, 1, 1)
    torch.testing.assert_close(
        space.decode(2 * x - 3 * y), 2 * space.decode(x) - 3 * space.decode(y), rtol=0, atol=2e-5
    )


def test_the_gradient_is_the_adjoint(space: Space) -> None:
    """<decode(x), e> = <x, gradient of e . decode>, for any x and e."""
    e = torch.randn(1, 1, 40, 48, generator=torch.Generator().manual_seed(2))
    at = draw(space, 1, 3).requires_grad_()
    (adjoint,) = torch.autograd.grad((space.decode(at) * e).sum(), at)
    x = draw(space, 1, 4)
    left, right = (space.decode(x) * e).double().sum(), (x * adjoint).double().sum()
    assert float(left) == pytest.approx(float(right), rel=1e-4, abs=1e-3)


def test_white_points_become_edits_of_about_their_size(space: Space) -> None:
    size = float(space.decode(draw(space, 200)).square().mean().sqrt())
    assert 0.7 < size < 1.1


def test_dct_is_scipys_inverse_transform() -> None:
    space = make_space("dct:5", IMAGE)
    point = draw(space, 1)
    padded = np.zeros((40, 48))
    padded[:5, :5] = point[0, 0].numpy()
    expected = idctn(padded, norm="ortho") * np.sqrt(40 * 48) / 5
    np.testing.assert_allclose(space.decode(point)[0, 0].numpy(), expected, atol=1e-5)


def test_a_patch_is_the_same_everywhere() -> None:
    edit = make_space("patch:16", IMAGE).decode(draw(make_space("patch:16", IMAGE), 1))[0, 0]
    assert torch.equal(edit[:16, :16], edit[16:32, 32:48])
    assert torch.equal(edit[:8, :16], edit[32:40, :16])


def test_a_box_cuts_edits_and_their_gradients() -> None:
    space = make_space("lowres:8", IMAGE, box=0.5)
    point = draw(space, 1).requires_grad_()
    edit = space.decode(point)
    assert float(edit.detach().abs().max()) == 0.5
    assert space.name == "lowres:8"
    inside = make_space("lowres:8", IMAGE).decode(point).abs() < 0.5
    (cut,) = torch.autograd.grad(edit.sum(), point, retain_graph=True)
    (kept,) = torch.autograd.grad(edit[inside].sum(), point)
    torch.testing.assert_close(cut, kept)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixle", "did you mean 'pixel'"),
        ("lowres", "whole number from 1 to 40"),
        ("dct:0", "whole number from 1 to 40"),
        ("patch:41", "whole number from 1 to 40"),
        ("lowres:-3", "whole number"),
    ],
)
def test_a_wrong_name_says_what_is_right(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_space(name, IMAGE)
