"""The encoder that an optimizer borrows: it takes the run's images, and its images are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zobench.contracts.encoder import Encoder
from zobench.contracts.purpose import Purpose

from .ledger import Ledger
from .metered_encoder import MeteredEncoder

if TYPE_CHECKING:
    from torch import Tensor


class LocalImages:
    """Embeds images of the run with another encoder, on the client's own machine.

    Images are brought to the size of that encoder by bilinear interpolation with antialiasing, and to
    its number of channels: a grey image fills all of them, and a coloured one is averaged to grey.
    """

    def __init__(self, encoder: Encoder, ledger: Ledger) -> None:
        """Takes the encoder, and the run's ledger."""
        self._encoder = MeteredEncoder(encoder, ledger)

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, D)`` float32 on the CPU; gradients flow back to images that require them.

        Args:
            images: ``(n, C, H, W)`` float32 as the run's encoder takes them.

        Raises:
            EncoderError: The answer has the wrong shape or is not finite.
        """
        fitted = self._fitted(images)
        if images.requires_grad:
            return self._encoder.embed_with_gradient(fitted, Purpose.LOCAL).cpu()
        # a tensor of inference mode cannot be part of a later gradient
        return self._encoder.embed(fitted, Purpose.LOCAL).cpu().clone()

    def _fitted(self, images: Tensor) -> Tensor:
        import torch

        channels, height, width = self._encoder.spec.image_shape
        if images.shape[2:] != (height, width):
            images = torch.nn.functional.interpolate(
                images, (height, width), mode="bilinear", align_corners=False, antialias=True
            )
        if images.shape[1] != channels:
            images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        return images
