"""What a method is: a way to a disease classifier over a frozen encoder, a row of the paper's table.

A method sees the training images with their labels and the pixels of the test images, asks the
metered encoder, and answers with one score a test image. What it asked is in its ledger: ``setup``
is the training images once, ``optimize`` all further ones, ``score`` the test images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from zobench.oracle.ledger import Purpose
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import HeadProtocol
from zobench.problem.images import Images

from .dataset import Pixels, Progress
from .encoder import EncoderSpec
from .random_streams import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Optimize = Callable[[str], "Answer"]
"""Runs an optimizer on the problem and answers as the classifier on its edited images does."""


@dataclass(frozen=True)
class Answer:
    """What a method came to.

    Attributes:
        scores: One a test image, positive where the disease is predicted.
        ledger: Counts by purpose, as :meth:`zobench.oracle.ledger.Ledger.as_dict`.
        notes: What else is worth keeping, for JSON.
    """

    scores: tuple[float, ...]
    ledger: Mapping[str, Mapping[str, int]]
    notes: Mapping[str, Any] = field(default_factory=dict)


class Known:
    """Embeddings of unedited images that several methods ask for; computed once, booked to each."""

    def __init__(self) -> None:
        self._found: dict[int, NDArray[np.float32]] = {}

    def embed(
        self, encoder: MeteredEncoder, images: Images, purpose: Purpose, progress: Progress
    ) -> NDArray[np.float32]:
        """Embeddings ``(n, D)``."""
        key = id(images.pixels)
        if key not in self._found:
            self._found[key] = embed_images(encoder, images, purpose, progress=progress)
            self._found[key].setflags(write=False)  # the next method sees the same array
        else:
            encoder.ledger.charge(purpose, len(images))
            encoder.ledger.of(purpose).requests += -(-len(images) // encoder.spec.block)
        return self._found[key]


@dataclass(frozen=True)
class MethodContext:
    """A problem, as a method sees it.

    Attributes:
        train: Training images with disease and sensitive attribute.
        test_pixels: The test images ``(n, C, H, W)``, 8-bit.
        metered: The frozen encoder; the context's own calls book what they ask of it.
        protocol: How linear heads are trained.
        seed: Of the run; :meth:`rng` makes generators from it.
        argument: What stood after the colon of the method's name.
        optimize: See :data:`Optimize`; only for methods registered with the argument ``optimizer``.
        known: Embeddings that other methods have asked for.
        progress: Told of images embedded.
    """

    train: Images
    test_pixels: Pixels
    metered: MeteredEncoder
    protocol: HeadProtocol
    seed: int
    argument: str
    optimize: Optimize
    known: Known
    progress: Progress

    def rng(self) -> np.random.Generator:
        """The stream from which heads draw; the same for all methods."""
        return generator(self.seed, "heads")

    @property
    def spec(self) -> EncoderSpec:
        """What the encoder says of itself; ``differentiable`` tells a white box."""
        return self.metered.spec

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, D)`` of images ``(n, C, H, W)`` in [0, 1], for training."""
        self.metered.ledger.charge("optimize", len(images))
        return self.metered.embed(images, "optimize").cpu()

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient, like ``images``, of a loss of their embeddings ``(n, D)``; a white box only."""
        variable = images.detach().clone().requires_grad_()
        self.metered.ledger.charge("optimize", len(images), gradient=True)
        embeddings = self.metered.embed_with_gradient(variable, "optimize").cpu()
        return self.metered.backward(loss(embeddings), variable)

    def embed_train(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the training images, or of other pixels in their place.

        The first time is booked as setup, any other as training.
        """
        first = not self.metered.ledger.setup.queries
        return self._embed(self.train.pixels, pixels, "setup" if first else "optimize")

    def embed_test(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(n, D)`` of the test images, or of other pixels in their place."""
        return self._embed(self.test_pixels, pixels, "score")

    def _embed(self, own: Pixels, other: Pixels | None, purpose: Purpose) -> NDArray[np.float32]:
        nothing = np.zeros(len(own), dtype=np.int64)
        images = Images(own if other is None else other, nothing, nothing, nothing)
        if other is not None:
            return embed_images(self.metered, images, purpose, progress=self.progress)
        return self.known.embed(self.metered, images, purpose, self.progress)

    def answer(self, scores: NDArray[np.floating], **notes: Any) -> Answer:
        """Scores with everything that was asked of the encoder."""
        ledger = self.metered.ledger.as_dict()
        return Answer(tuple(np.asarray(scores, dtype=np.float64).tolist()), ledger, notes)


class Method(Protocol):
    """A row of the table; made as ``target(context, parameters)``."""

    def solve(self) -> Answer:
        """Trains on the training images and answers for the test images.

        Raises:
            ConfigError: The encoder cannot do what the method needs.
        """
        ...
