"""The compact vision transformer behind ``vit-mae``: 224x224, patch 16, one channel."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from .vision_transformer import VisionTransformer

IMAGE_SIZE = 224
PATCH_SIZE = 16
GRID = IMAGE_SIZE // PATCH_SIZE
WIDTH = 128
SQUEEZED = 16
SUMMARY = 128
TOKENS = GRID * GRID * SQUEEZED
EMBEDDING = 176
PIXEL_MEAN = (0.55,)
PIXEL_STD = (0.25,)


class CompactViT(nn.Module):
    """Three blocks of width 128 with four heads, and a pooling that keeps positions.

    The usual pooling, the mean over tokens, loses the positions in a film, and a transformer of
    this size learns only slowly to encode positions in its tokens. So each token is reduced to 16
    numbers, and all 196 x 16 numbers are projected to the embedding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = VisionTransformer(
            channels=1, grid=GRID, side=PATCH_SIZE, width=WIDTH, depth=3, heads=4
        )
        self.squeeze = nn.Linear(WIDTH, SQUEEZED)
        self.project = nn.Linear(TOKENS, EMBEDDING)

    def tokens(self, images: Tensor) -> Tensor:
        """The squeezed tokens ``(B, 3136)`` of standardised films ``(B, 1, 224, 224)``."""
        return cast(Tensor, self.squeeze(self.trunk(images)).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(B, 176)`` in [-1, 1] of standardised films ``(B, 1, 224, 224)``.

        The limits are hard, as in 8-bit embeddings: a value beyond a limit is clipped to it. The
        first vision transformers ended in a soft limit, a linear layer and tanh (Dosovitskiy et al.
        2021).
        """
        return F.hardtanh(self.project(self.tokens(images)))


class PlainViT(nn.Module):
    """The trunk of a :class:`CompactViT` with a last layer that nothing aligned.

    Args:
        network: The network whose tokens are summarised; its own last layer is not used.
    """

    def __init__(self, network: CompactViT) -> None:
        super().__init__()
        self.network = network
        self.summarise = nn.Linear(TOKENS, SUMMARY)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(B, 128)`` without limits of standardised films ``(B, 1, 224, 224)``."""
        return cast(Tensor, self.summarise(self.network.tokens(images)))
