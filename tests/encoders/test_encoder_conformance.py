"""Every encoder in the registry keeps the contract of encoders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import torch
from served import served
from tiny import tiny_plugin

from zobench.contracts.encoder import Encoder, EncoderRequest, checked_embeddings
from zobench.errors import EncoderError
from zobench.registry.discovery import load_registry

EXAMPLES = {
    "vit-mae": "vit-mae",
    "efficientnet-lite0": "efficientnet-lite0",
    "timm": "timm:test_vit",
    "http": "http:oip",
}
"""A small example of each registered encoder; an encoder without an example fails a test."""

NAMES = sorted(load_registry().offers["encoders"])


def make(name: str, cache: Path) -> Encoder:
    offer, argument = load_registry().find("encoders", EXAMPLES[name])
    remote = name == "http"
    where = ("auto", "auto") if remote else ("cpu", "fp32")
    request = EncoderRequest(EXAMPLES[name], argument, *where, cache)
    settings = {"url": service()} if remote else {}
    encoder: Encoder = offer.plugin.make(request, settings, "encoder")
    return encoder


STACK = ExitStack()


@cache
def service() -> str:
    """URL of a server that starts at the first call and stops after the tests of this module."""
    STACK.enter_context(tiny_plugin())
    return STACK.enter_context(served()).url


@pytest.fixture(scope="module", autouse=True)
def _services() -> Iterator[None]:
    with STACK:
        yield


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Encoder]:
    made = make(request.param, tmp_path)
    yield made
    made.close()


def films(encoder: Encoder, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, *encoder.spec.image_shape, generator=generator)


def test_each_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(NAMES)


def test_answers_finite_float32_of_the_declared_dimension(encoder: Encoder) -> None:
    images = films(encoder, 5)
    before = images.clone()
    with torch.inference_mode():
        answer = encoder.embed(images)
    assert answer.dtype == torch.float32
    checked_embeddings(encoder.spec, 5, answer)
    assert torch.equal(images, before)


def test_different_images_get_different_embeddings(encoder: Encoder) -> None:
    with torch.inference_mode():
        one, two = encoder.embed(films(encoder, 2) * torch.tensor([1.0, 0.3]).view(2, 1, 1, 1))
    assert not torch.allclose(one, two)


def test_the_same_call_gives_the_same_bits_and_any_grouping_nearly_so(encoder: Encoder) -> None:
    images = films(encoder, 7)
    with torch.inference_mode():
        whole = encoder.embed(images)
        assert torch.equal(whole, encoder.embed(images))
        parts = torch.cat([encoder.embed(part) for part in images.split([1, 4, 2])])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_one_channel_is_taken_for_all(encoder: Encoder) -> None:
    grey = films(encoder, 2)[:, :1]
    with torch.inference_mode():
        spread = encoder.embed(grey.expand(-1, encoder.spec.image_shape[0], -1, -1))
        assert torch.equal(encoder.embed(grey), spread)


def test_gradients_flow_as_declared_and_predict_a_small_step(encoder: Encoder) -> None:
    if not encoder.spec.differentiable:
        assert not encoder.embed(films(encoder, 1).requires_grad_()).requires_grad
        return
    images = films(encoder, 2).requires_grad_()
    along = torch.randn(encoder.spec.embedding_dim, generator=torch.Generator().manual_seed(0))

    def value(x: torch.Tensor) -> torch.Tensor:
        return (encoder.embed(x).double() @ along.double()).sum()

    (gradient,) = torch.autograd.grad(value(images), images)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        rise = value(images + step) - value(images - step)
    assert float(rise) == pytest.approx(2e-2 * float(gradient.norm()), rel=0.05)


def test_refuses_images_of_another_size(encoder: Encoder) -> None:
    channels, height, width = encoder.spec.image_shape
    with pytest.raises(EncoderError, match="takes images of shape"):
        encoder.embed(torch.rand(1, channels, height - 1, width))


@pytest.mark.parametrize("name", NAMES)
def test_two_of_a_name_are_the_same_and_leave_the_global_stream_alone(
    name: str, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    one, two = make(name, tmp_path), make(name, tmp_path)
    assert torch.equal(state, torch.get_rng_state())
    assert one.spec == two.spec
    images = films(one, 2)
    with torch.inference_mode():
        assert torch.equal(one.embed(images), two.embed(images))
    assert one.spec.block >= 1
    assert one.spec.digest
    one.close()
    two.close()
