"""The one place where images meet the encoder: every image is booked, every answer checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.billing.account import Account, PaidEncoder
from zobench.contracts.dataset import Progress, silent
from zobench.contracts.encoder import Encoder, EncoderSpec, checked_embeddings
from zobench.problem.images import Images

from .ledger import Ledger, Purpose

if TYPE_CHECKING:
    from torch import Tensor


class MeteredEncoder:
    """An encoder whose use is charged to a ledger and timed.

    Attributes:
        seconds: Wall time spent inside the encoder.
    """

    def __init__(self, encoder: Encoder, ledger: Ledger) -> None:
        self._encoder = encoder
        self.ledger = ledger
        self.seconds = 0.0

    @property
    def spec(self) -> EncoderSpec:
        """What the encoder says of itself."""
        return self._encoder.spec

    @property
    def account(self) -> Account | None:
        """Where a rented encoder notes what it asks; ``None`` for any other."""
        return self._encoder.account if isinstance(self._encoder, PaidEncoder) else None

    def settle(self) -> None:
        """To be called when all that was embedded so far is safe on disk."""
        if self.account is not None:
            self.account.settle()

    def apart(self) -> MeteredEncoder:
        """The same encoder with a ledger of its own, for looks that are charged to nobody."""
        return MeteredEncoder(self._encoder, Ledger())

    def embed(self, images: Tensor, purpose: Purpose) -> Tensor:
        """Embeddings ``(N, D)``, without gradients.

        Raises:
            EncoderError: The answer has the wrong shape or is not finite.
            CostReached: The images would cost more than allowed.
        """
        import torch

        self._name_purpose(purpose)
        started = time.perf_counter()
        with torch.inference_mode():
            answer = self._encoder.embed(images)
        checked = checked_embeddings(self.spec, len(images), answer)  # waits for the device
        self.seconds += time.perf_counter() - started
        self.ledger.of(purpose).requests += 1
        return checked

    def _name_purpose(self, purpose: Purpose) -> None:
        account = self.account
        if account is not None:
            account.purpose = purpose

    def embed_with_gradient(self, images: Tensor, purpose: Purpose) -> Tensor:
        """Embeddings through which a gradient flows back to ``images``.

        Raises:
            EncoderError: As :meth:`embed`.
        """
        started = time.perf_counter()
        checked = checked_embeddings(self.spec, len(images), self._encoder.embed(images))
        self.seconds += time.perf_counter() - started
        self.ledger.of(purpose).requests += 1
        return checked

    def backward(self, loss: Tensor, variable: Tensor) -> Tensor:
        """Gradient of ``loss`` back through the encoder, timed like the way there."""
        import torch

        started = time.perf_counter()
        (gradient,) = torch.autograd.grad(loss, variable)
        finished = gradient.cpu()
        self.seconds += time.perf_counter() - started
        return finished


def embed_images(
    encoder: MeteredEncoder,
    data: Images,
    purpose: Purpose,
    edit: Tensor | None = None,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Embeddings ``(n, D)`` of images, with an edit ``(1, H, W)`` added where given."""
    parts = []
    for block in data.blocks(encoder.spec.block):
        images = data.batch(block)
        if edit is not None:
            images += edit
        encoder.ledger.charge(purpose, len(images))
        parts.append(encoder.embed(images, purpose).cpu().numpy())
        progress(block.stop, len(data))
    return np.concatenate(parts)
