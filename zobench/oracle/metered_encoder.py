"""The metered encoder: it books every image in the ledger and checks every answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Rows
from zobench.contracts.encoder import EditingEncoder, Encoder, EncoderSpec, checked_embeddings
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.purpose import Purpose
from zobench.problem.images import Images, slices

from .ledger import Ledger

if TYPE_CHECKING:
    from torch import Tensor


BLOCKS = 4
"""Blocks that an encoder gets at once if it adds edits itself, which takes some time for each call."""


class Meter(Protocol):
    """The part of a rented encoder's account that a run uses."""

    purpose: Purpose
    """The purpose of the requests from here on."""

    @property
    def limit(self) -> float:
        """The sum that all images together may cost; 0 for no limit."""
        ...

    @property
    def reserve(self) -> int:
        """Images that must stay affordable at each ask, so that the snapshots can be scored."""
        ...

    def affords(self, images: int, *, keeping_reserve: bool = False) -> bool:
        """Whether ``images`` more stay within the limit, even if all doubtful images are billed."""
        ...

    def settle(self) -> None:
        """Deletes the stored answers; call it once the results made of them are safe on disk."""
        ...


class PendingEmbeddings:
    """Embeddings that a GPU may still be computing; a CPU has computed them."""

    def __init__(
        self, encoder: MeteredEncoder, answer: Tensor, images: int, *, checked: bool = False
    ) -> None:
        """Keeps an answer.

        Args:
            encoder: The encoder, whose seconds include the waiting.
            answer: What it answered.
            images: The number of images sent.
            checked: Whether shape and numbers of the answer have been checked.
        """
        self._encoder, self._answer, self._images = encoder, answer, images
        self._checked = checked

    def wait(self) -> Tensor:
        """The embeddings ``(n, D)``, computed and checked.

        Raises:
            EncoderError: The answer has the wrong shape or is not finite.
        """
        if self._checked:
            return self._answer
        started = time.perf_counter()
        checked = checked_embeddings(self._encoder.spec, self._images, self._answer)
        self._encoder.seconds += time.perf_counter() - started
        return checked


class MeteredEncoder:
    """An encoder that books its images and calls in a ledger and measures its time.

    Attributes:
        ledger: The ledger that images and calls are booked in.
        meter: The account of a rented encoder; ``None`` for an encoder without a bill.
        seconds: Wall time spent inside the encoder, or waiting for it.
    """

    def __init__(self, encoder: Encoder, ledger: Ledger, meter: Meter | None = None) -> None:
        self._encoder = encoder
        self.ledger, self.meter = ledger, meter
        self.seconds = 0.0

    @property
    def spec(self) -> EncoderSpec:
        """The self-description of the encoder."""
        return self._encoder.spec

    @property
    def portion(self) -> int:
        """Images for one call of :meth:`embed_edited` where progress is shown between calls."""
        return self.spec.block * (BLOCKS if isinstance(self._encoder, EditingEncoder) else 1)

    def settle(self) -> None:
        """Deletes the service's stored answers; call it once all results are safe on disk."""
        if self.meter is not None:
            self.meter.settle()

    def apart(self) -> MeteredEncoder:
        """The same encoder with a separate ledger, for images that the run does not charge."""
        return MeteredEncoder(self._encoder, Ledger(), self.meter)

    def embed(self, images: Tensor, purpose: Purpose) -> Tensor:
        """Embeddings ``(N, D)`` of images ``(N, C, H, W)``, without gradients.

        Raises:
            EncoderError: The answer has the wrong shape or is not finite.
            CostReached: The images would cost more than allowed.
        """
        import torch

        self._book(purpose, len(images), gradient=False)
        started = time.perf_counter()
        with torch.inference_mode():
            answer = self._encoder.embed(images)
        checked = checked_embeddings(self.spec, len(images), answer)  # waits for the device
        self.seconds += time.perf_counter() - started
        return checked

    def embed_edited(
        self, images: Images, rows: Rows, edits: Tensor, owner: Rows, purpose: Purpose
    ) -> Tensor:
        """Embeddings ``(n, D)`` of edited images, without gradients.

        An encoder that adds edits itself gets all images at once, and another one its own blocks.

        Args:
            images: The images of a part of the split.
            rows: The images to embed, ``(n,)``.
            edits: Edits ``(K, 1, H, W)``.
            owner: The edit of each image, ``(n,)``.
            purpose: The purpose that the images are booked under.

        Raises:
            EncoderError: The answer has the wrong shape or is not finite.
            CostReached: The images would cost more than allowed.
        """
        return self.begin_edited(images, rows, edits, owner, purpose).wait()

    def begin_edited(
        self, images: Images, rows: Rows, edits: Tensor, owner: Rows, purpose: Purpose
    ) -> PendingEmbeddings:
        """Begins what :meth:`embed_edited` does; on a GPU, returns before the embeddings are computed.

        Raises:
            EncoderError: The encoder failed; or, if it adds no edits itself, gave an invalid answer.
            CostReached: The images would cost more than allowed.
        """
        import torch

        encoder = self._encoder
        if not isinstance(encoder, EditingEncoder):
            answers = torch.empty(len(rows), self.spec.embedding_dim, dtype=torch.float32)
            for part in slices(len(rows), self.spec.block):  # copied: memory may be used again
                answers[part] = self.embed(images.edited(rows[part], edits, owner[part]), purpose)
            return PendingEmbeddings(self, answers, len(rows), checked=True)
        self._book(purpose, len(rows), gradient=False)
        started = time.perf_counter()
        with torch.inference_mode():
            answer = encoder.embed_edited(images.pixels, rows, edits, owner)
        self.seconds += time.perf_counter() - started
        return PendingEmbeddings(self, answer, len(rows))

    def embed_with_gradient(self, images: Tensor, purpose: Purpose) -> Tensor:
        """Embeddings ``(N, D)`` through which a gradient flows back to ``images``.

        The forward and the backward pass are booked together.

        Raises:
            EncoderError: The answer has the wrong shape or is not finite.
        """
        self._book(purpose, len(images), gradient=True)
        started = time.perf_counter()
        checked = checked_embeddings(self.spec, len(images), self._encoder.embed(images))
        self.seconds += time.perf_counter() - started
        return checked

    def backward(self, loss: Tensor, variable: Tensor) -> Tensor:
        """Gradient of ``loss`` with respect to ``variable``, back through the encoder; timed."""
        import torch

        started = time.perf_counter()
        (gradient,) = torch.autograd.grad(loss, variable)
        finished = gradient.cpu()
        self.seconds += time.perf_counter() - started
        return finished

    def _book(self, purpose: Purpose, images: int, *, gradient: bool) -> None:
        if self.meter is not None:
            self.meter.purpose = purpose
        counts = self.ledger.of(purpose)
        if purpose is not Purpose.LOCAL:
            counts.queries += self.ledger.price(images, gradient=gradient)
        counts.forward += images
        counts.backward += images if gradient else 0
        counts.requests += 1


def embed_images(
    encoder: MeteredEncoder,
    data: Images,
    purpose: Purpose,
    edit: Tensor | None = None,
    progress: ReportProgress = silent,
) -> NDArray[np.float32]:
    """Embeddings ``(n, D)`` of images, with an edit ``(1, H, W)`` added where given.

    Args:
        encoder: The encoder.
        data: The images.
        purpose: The purpose that the images are booked under.
        edit: An edit that is added to every image; ``None`` for none.
        progress: Called with the number of images done and the total.
    """
    import torch

    shape = (1, 1, *data.pixels.shape[2:])
    edits = torch.zeros(shape, dtype=torch.float32) if edit is None else edit[None]
    parts = []
    for block in data.blocks(encoder.portion):
        rows = np.arange(block.start, block.stop)
        owner = np.zeros(len(rows), dtype=np.int64)
        parts.append(encoder.embed_edited(data, rows, edits, owner, purpose).cpu().numpy())
        progress(block.stop, len(data))
    return np.concatenate(parts)
