"""A problem as a method sees it: its images, its metered encoder, and embeddings made only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.head import HeadProtocol
from zobench.contracts.listener import ReportProgress
from zobench.contracts.method import MethodResult
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.oracle.ledger import Counts
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.images import Images

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class EmbeddingCache:
    """Embeddings of unedited images, computed once and booked to every method that uses them."""

    cache: dict[int, tuple[NDArray[np.float32], Counts]] = field(default_factory=dict)

    def embed(
        self, encoder: MeteredEncoder, images: Images, purpose: Purpose, progress: ReportProgress
    ) -> NDArray[np.float32]:
        """Embeddings ``(n, D)``."""
        key = id(images.pixels)
        if key not in self.cache:
            apart = encoder.apart()
            embeddings = embed_images(apart, images, purpose, progress=progress)
            embeddings.setflags(write=False)  # the next method sees the same array
            self.cache[key] = embeddings, apart.ledger.of(purpose)
        embeddings, counts = self.cache[key]
        encoder.ledger.add(purpose, counts)
        return embeddings


@dataclass(frozen=True)
class Context:
    """A problem, as a method sees it: see :class:`zobench.contracts.method.MethodContext`.

    Attributes:
        train: Training images with disease and sensitive attribute.
        test_pixels: The test images ``(n, C, H, W)`` uint8.
        test_sensitive: The sensitive attribute of the test images ``(n,)``.
        metered: The frozen encoder, whose ledger is the method's own.
        protocol: How linear heads are trained.
        seed: Seed of the run.
        argument: The text after the colon of the method's name.
        optimizing: Runs an optimizer on the problem.
        cache: Embeddings that other methods have asked for.
        progress: Receives the number of embedded images.
    """

    train: Images
    test_pixels: Pixels
    test_sensitive: Rows
    metered: MeteredEncoder
    protocol: HeadProtocol
    seed: int
    argument: str
    optimizing: Callable[[str], MethodResult]
    cache: EmbeddingCache
    progress: ReportProgress

    def rng(self) -> np.random.Generator:
        """The stream from which heads draw; the same for all methods."""
        return generator(self.seed, "heads")

    @property
    def spec(self) -> EncoderSpec:
        """The encoder's spec; ``differentiable`` is true for a white-box encoder."""
        return self.metered.spec

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, D)`` of images ``(n, C, H, W)`` in [0, 1], for training."""
        return self.metered.embed(images, Purpose.OPTIMIZE).cpu()

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient, shaped like ``images``, of a loss of their embeddings ``(n, D)``."""
        variable = images.detach().clone().requires_grad_()
        embeddings = self.metered.embed_with_gradient(variable, Purpose.OPTIMIZE).cpu()
        return self.metered.backward(loss(embeddings), variable)

    def embed_train(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the training images, or of other pixels in their place.

        The first call is booked as setup, any other as training.
        """
        first = not self.metered.ledger.setup.queries
        purpose = Purpose.SETUP if first else Purpose.OPTIMIZE
        return self._embed(self.train.pixels, pixels, purpose)

    def embed_test(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(n, D)`` of the test images, or of other pixels in their place."""
        return self._embed(self.test_pixels, pixels, Purpose.SCORE)

    def _embed(self, own: Pixels, other: Pixels | None, purpose: Purpose) -> NDArray[np.float32]:
        nothing = np.zeros(len(own), dtype=np.int64)
        images = Images(own if other is None else other, nothing, nothing, nothing)
        if other is not None:
            return embed_images(self.metered, images, purpose, progress=self.progress)
        return self.cache.embed(self.metered, images, purpose, self.progress)

    def optimize(self, optimizer: str) -> MethodResult:
        """Runs an optimizer on the problem; returns the classifier's result on edited images."""
        return self.optimizing(optimizer)

    def result(self, scores: NDArray[np.floating], **notes: Any) -> MethodResult:
        """Scores ``(n,)`` together with the ledger of every image that was sent."""
        ledger = self.metered.ledger.as_dict()
        return MethodResult(tuple(np.asarray(scores, dtype=np.float64).tolist()), ledger, notes)
