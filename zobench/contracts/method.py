"""The contract of a method, which trains a disease classifier on a frozen encoder.

A method sees the training images with their labels and the pixels of the test images, sends images to
the encoder through its context, and returns one score per test image. Every image that it sends is
booked in the method's ledger: ``setup`` for the training images once, ``optimize`` for all further
images for training, ``score`` for the test images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from .dataset import Pixels, Rows
from .encoder import EncoderSpec
from .head import HeadProtocol
from .listener import ReportProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class MethodResult:
    """The result of a method: one score per test image.

    Attributes:
        scores: One score per test image; a positive score predicts the disease.
        ledger: Counts by purpose, as :meth:`zobench.oracle.ledger.Ledger.as_dict` gives them.
        notes: Further findings of the method, for JSON.
    """

    scores: tuple[float, ...]
    ledger: Mapping[str, Mapping[str, int]]
    notes: Mapping[str, Any] = field(default_factory=dict)


class LabelledImages(Protocol):
    """Images with their labels, as :class:`zobench.problem.images.Images` holds them."""

    @property
    def pixels(self) -> Pixels:
        """The pixels ``(n, C, H, W)`` uint8."""
        ...

    @property
    def label(self) -> Rows:
        """Disease y ``(n,)``, 0 or 1."""
        ...

    @property
    def sensitive(self) -> Rows:
        """Sensitive attribute a ``(n,)``, 0 or 1."""
        ...

    @property
    def patient(self) -> Rows:
        """Patient numbers ``(n,)``."""
        ...

    def __len__(self) -> int:
        """The number of images."""
        ...

    def batch(self, rows: Rows | slice) -> Tensor:
        """Images ``(n, C, H, W)`` float32 in [0, 1]."""
        ...

    def blocks(self, size: int) -> Iterator[slice]:
        """Consecutive slices of at most ``size`` images."""
        ...


class MethodContext(Protocol):
    """The part of a problem that a method can use."""

    @property
    def train(self) -> LabelledImages:
        """Training images with disease and sensitive attribute."""
        ...

    @property
    def test_pixels(self) -> Pixels:
        """The test images ``(n, C, H, W)`` uint8."""
        ...

    @property
    def test_sensitive(self) -> Rows:
        """Sensitive attribute a of the test images ``(n,)``, for methods that need it at test time."""
        ...

    @property
    def protocol(self) -> HeadProtocol:
        """How linear heads are trained."""
        ...

    @property
    def argument(self) -> str:
        """The text after the colon of the method's name."""
        ...

    @property
    def spec(self) -> EncoderSpec:
        """The encoder's spec; ``differentiable`` is true for a white-box encoder."""
        ...

    @property
    def progress(self) -> ReportProgress:
        """The callback for the number of images embedded."""
        ...

    def rng(self) -> np.random.Generator:
        """The random generator for heads; all methods get the same stream."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, D)`` of images ``(n, C, H, W)`` in [0, 1], for training."""
        ...

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient, shaped like ``images``, of a loss of their embeddings ``(n, D)``."""
        ...

    def embed_train(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the training images, or of other pixels in their place."""
        ...

    def embed_test(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(n, D)`` of the test images, or of other pixels in their place."""
        ...

    def optimize(self, optimizer: str) -> MethodResult:
        """Runs an optimizer on the problem; returns the classifier's result on edited images.

        Only for methods that are registered with the argument ``optimizer``.
        """
        ...

    def result(self, scores: NDArray[np.floating], **notes: Any) -> MethodResult:
        """Scores ``(n,)`` together with the ledger of every image that was sent."""
        ...


@runtime_checkable
class Requiring(Protocol):
    """A method that cannot work with all training images."""

    def require(self, label: Rows, sensitive: Rows) -> None:
        """Refuses training images; a static method, called before the first query.

        Args:
            label: Disease y ``(N,)``.
            sensitive: Sensitive attribute a ``(N,)``.

        Raises:
            ConfigError: The method cannot work with these images.
        """
        ...


def needs_gradients(method: type) -> bool:
    """Whether a method works only with the gradients of a white-box encoder."""
    return bool(getattr(method, "needs_gradients", False))


class Method(Protocol):
    """A method, one row of a table; made as ``target(context, parameters)``.

    Attributes:
        needs_queries: Whether the method sends further images to the encoder for training. A method
            that needs only the clean embeddings is a no-query baseline of every run.

    It may have ``require()``, too: see :class:`Requiring`; and a method that calls
    ``context.gradient`` declares ``needs_gradients = True``, so that it is refused before anything is
    sent where the encoder gives none.
    """

    needs_queries: ClassVar[bool]

    def solve(self) -> MethodResult:
        """Trains on the training images and answers for the test images.

        Raises:
            ConfigError: The encoder cannot do what the method needs.
        """
        ...
