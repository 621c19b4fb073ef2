"""The tests that every encoder must pass, for built-in encoders and plugins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.encoder import (
    EditingEncoder,
    Encoder,
    EncoderRequest,
    checked_embeddings,
)
from zobench.errors import EncoderError
from zobench.registry.discovery import Registry

from .installed import installed

SLOPE = 0.05
"""Largest relative error of a small step's change that the gradient predicts."""

EDITED = {"fp32": 1e-4, "bf16": 5e-2}
"""Largest difference of ``embed_edited`` from ``embed`` by precision, relative to the largest number."""


class EncoderConformance:
    """Tests of the encoder contract; subclass it, set ``name``, and pytest collects the tests.

    Attributes:
        name: The name of the encoder, as given to ``--encoder``.
        overrides: Parameters other than the defaults.
        device: As given to ``--device``.
        precision: As given to ``--precision``.
    """

    name: ClassVar[str]
    overrides: ClassVar[Mapping[str, object]] = {}
    device: ClassVar[str] = "cpu"
    precision: ClassVar[str] = "fp32"

    _cache: ClassVar[TemporaryDirectory[str] | None] = None
    _encoder: ClassVar[Encoder | None] = None

    def registry(self) -> Registry:
        """The registry that holds the encoder; by default all installed plugins."""
        return installed()

    def make(self) -> Encoder:
        """The encoder under test; values that it measures are kept for the next one."""
        suite = type(self)
        if suite._cache is None:
            suite._cache = TemporaryDirectory()
        offer, argument = self.registry().find("encoders", self.name)
        request = EncoderRequest(
            self.name, argument, self.device, self.precision, Path(suite._cache.name)
        )
        encoder: Encoder = offer.plugin.make(request, self.overrides, "encoder")
        return encoder

    def encoder(self) -> Encoder:
        """The encoder under test, made once for all tests that need no other, as for a run."""
        suite = type(self)
        if suite._encoder is None:
            suite._encoder = self.make()
        return suite._encoder

    def prepare(self) -> None:
        """Makes the encoder, so that a wrong name or setting is one error before the checks."""
        self.encoder()

    @classmethod
    def teardown_class(cls) -> None:
        """Closes the encoder after the last test, and removes the values that it measured."""
        encoder, cache = cls._encoder, cls._cache
        cls._encoder = cls._cache = None
        try:
            if encoder is not None:
                encoder.close()
        finally:
            if cache is not None:
                cache.cleanup()

    def test_answers_finite_float32_of_the_declared_dimension(self) -> None:
        """Embeddings are ``(N, D)`` float32 and finite, and the images are left as they were."""
        encoder = self.encoder()
        images = films(encoder, 5)
        before = images.clone()
        with torch.inference_mode():
            answer = encoder.embed(images)
        assert answer.dtype == torch.float32, f"embeddings are {answer.dtype}, not float32"
        checked_embeddings(encoder.spec, 5, answer)
        assert torch.equal(images, before), "embed() changed the images that it was given"

    def test_different_images_get_different_embeddings(self) -> None:
        """A wrong range of pixels gives the same embedding for every image."""
        encoder = self.encoder()
        images = films(encoder, 2) * torch.tensor([1.0, 0.3]).view(2, 1, 1, 1)
        with torch.inference_mode():
            one, two = encoder.embed(images)
        assert not torch.allclose(one, two), (
            "two different images have the same embedding; images are float32 in [0, 1]: check the "
            "range that the network takes"
        )

    def test_the_same_call_gives_the_same_bits_and_any_grouping_nearly_so(self) -> None:
        """An embedding depends on its image, and not on the images beside it."""
        encoder = self.encoder()
        images = films(encoder, 7)
        with torch.inference_mode():
            whole = encoder.embed(images)
            again = encoder.embed(images)
            parts = torch.cat([encoder.embed(part) for part in torch.split(images, [1, 4, 2])])
        assert torch.equal(whole, again), "two calls with the same images differ"
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))

    def test_one_channel_is_taken_for_all(self) -> None:
        """Images of one channel are repeated for a network that takes more."""
        encoder = self.encoder()
        grey = films(encoder, 2)[:, :1]
        with torch.inference_mode():
            spread = encoder.embed(grey.expand(-1, encoder.spec.image_shape[0], -1, -1))
            alone = encoder.embed(grey)
        assert torch.equal(alone, spread), "a grey image and its copy in all channels differ"

    def test_edits_that_the_encoder_adds_are_those_of_the_images(self) -> None:
        """``embed_edited`` agrees with ``embed``; nothing to check for an encoder without it."""
        encoder = self.encoder()
        if isinstance(encoder, EditingEncoder):
            height, width = encoder.spec.image_shape[1:]
            rng = np.random.default_rng(0)
            pixels = rng.integers(0, 256, (9, 1, height, width), dtype=np.uint8)
            edits = torch.from_numpy(rng.normal(0, 0.1, (3, 1, height, width)).astype(np.float32))
            rows = rng.permutation(9)
            precision = str(encoder.spec.settings.get("precision", "fp32"))
            tolerance = EDITED.get(precision, EDITED["bf16"])
            for owner in (np.full(9, 1), np.arange(9) // 3, rng.integers(0, 3, 9)):
                sent = torch.from_numpy(pixels[rows]) / 255 + edits[torch.from_numpy(owner)]
                given: list[NDArray[Any]] = [pixels, rows, edits.numpy(), owner]
                before = [array.copy() for array in given]
                with torch.inference_mode():
                    wanted = encoder.embed(sent)
                    answer = encoder.embed_edited(pixels, rows, edits, owner)
                checked_embeddings(encoder.spec, 9, answer)
                difference = float((answer - wanted).abs().max() / wanted.abs().max())
                assert difference <= tolerance, (
                    f"embed_edited() differs from embed() of the edited images by {difference:.1e}, "
                    "relative to the largest number"
                )
                unchanged = all(np.array_equal(*pair) for pair in zip(before, given, strict=True))
                assert unchanged, "embed_edited() changed its arguments"

    def test_gradients_flow_as_declared_and_predict_a_small_step(self) -> None:
        """``spec.differentiable`` is true exactly if gradients reach the images."""
        encoder = self.encoder()
        if not encoder.spec.differentiable:
            answer = encoder.embed(films(encoder, 1).requires_grad_())
            assert not answer.requires_grad, "gradients flow, but spec.differentiable is False"
            return
        images = films(encoder, 2).requires_grad_()
        along = torch.randn(encoder.spec.embedding_dim, generator=torch.Generator().manual_seed(0))

        def value(batch: Tensor) -> Tensor:
            return (encoder.embed(batch).double() @ along.double()).sum()

        (gradient,) = torch.autograd.grad(value(images), images)
        length = float(gradient.norm())
        step = 1e-2 * gradient / length
        with torch.no_grad():
            rise = float(value(images + step) - value(images - step))
        assert abs(rise - 2e-2 * length) <= SLOPE * 2e-2 * length, (
            f"the gradient predicts a change of {2e-2 * length:.4g} along itself, but it is {rise:.4g}"
        )

    def test_refuses_images_of_another_size(self) -> None:
        """Images that do not fit ``spec.image_shape`` are an ``EncoderError``."""
        encoder = self.encoder()
        channels, height, width = encoder.spec.image_shape
        try:
            encoder.embed(torch.rand(1, channels, height - 1, width))
        except EncoderError:
            return
        raise AssertionError(
            "images of another size are embedded; raise zobench.errors.EncoderError"
        )

    def test_two_of_a_name_are_the_same_and_leave_the_global_stream_alone(self) -> None:
        """Spec and embeddings depend on the request only; no global random number is drawn."""
        state = torch.get_rng_state()
        one, two = self.make(), self.make()
        assert torch.equal(state, torch.get_rng_state()), (
            "making the encoder draws from torch's global stream; use torch.random.fork_rng"
        )
        assert one.spec == two.spec, "two encoders of one request have different specs"
        images = films(one, 2)
        with torch.inference_mode():
            same = torch.equal(one.embed(images), two.embed(images))
        assert same, "two encoders of one request answer differently"
        assert one.spec.block >= 1, "spec.block is below 1"
        assert one.spec.digest, "spec.digest is empty; it must identify architecture and weights"
        one.close()
        two.close()


def films(encoder: Encoder, count: int) -> Tensor:
    """Random images ``(count, C, H, W)`` in [0, 1]; the same for the same count."""
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, *encoder.spec.image_shape, generator=generator)
