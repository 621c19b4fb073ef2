"""The networks that only the pre-training needs: a decoder for hidden patches, heads for films."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from ..architecture import (
    GRID,
    PATCH_SIZE,
    PIXEL_MEAN,
    PIXEL_STD,
    SUMMARY,
    TOKENS,
    WIDTH,
    CompactViT,
)
from .films import UNKNOWN
from .targets import (
    DESCRIPTION,
    ORIENTATIONS,
    description,
    normalised_patches,
    patch_gradients,
)

DECODER = 64
CLASSES = (2, 4, 2, 10)
"""Number of classes of each label: sex, finding, bedside view, decade of age."""


class Learner(nn.Module):
    """The encoder with the decoder and the heads of the pre-training.

    Args:
        description_mean: Mean of the film descriptions, ``(DESCRIPTION,)``.
        description_std: Standard deviation of the film descriptions, ``(DESCRIPTION,)``.
    """

    description_mean: Tensor
    description_std: Tensor

    def __init__(self, description_mean: Tensor, description_std: Tensor) -> None:
        super().__init__()
        self.encoder = CompactViT()
        self.register_buffer("description_mean", description_mean)
        self.register_buffer("description_std", description_std)
        self.project = nn.Linear(WIDTH, DECODER)
        self.hidden = nn.Parameter(torch.zeros(1, 1, DECODER))
        self.position = nn.Parameter(0.02 * torch.randn(1, GRID * GRID, DECODER))
        self.decoder = nn.Sequential(Block(DECODER, 4), nn.LayerNorm(DECODER))
        self.restore = nn.Linear(DECODER, PATCH_SIZE**2 + ORIENTATIONS)
        self.summarise = nn.Linear(TOKENS, SUMMARY)
        self.describe = nn.Linear(SUMMARY, DESCRIPTION)
        self.label_heads = nn.ModuleList(nn.Linear(SUMMARY, classes) for classes in CLASSES)

    def masked_loss(self, images: Tensor, order: Tensor, visible: int) -> Tensor:
        """Mean squared error on the hidden patches: that of grey values plus that of gradients.

        Args:
            images: ``(B, 1, 224, 224)`` in [0, 1].
            order: ``(B, GRID**2)``, one random patch order per film; the first ``visible`` are
                shown.
            visible: Number of patches shown.
        """
        trunk = self.encoder.trunk
        tokens = trunk.patch_embed(standardised(images)) + trunk.pos_embed
        shown = order[:, :visible, None]
        seen = torch.gather(tokens, 1, shown.expand(-1, -1, tokens.shape[-1]))
        seen = self.project(trunk.norm(trunk.blocks(seen)))
        board = self.hidden.expand(len(images), GRID * GRID, DECODER)
        board = torch.scatter(board, 1, shown.expand(-1, -1, DECODER), seen)
        restored = self.restore(self.decoder(board + self.position))
        target = torch.cat([normalised_patches(images), 3.0 * patch_gradients(images)], dim=-1)
        hidden = torch.ones_like(order, dtype=torch.bool)
        hidden.scatter_(1, order[:, :visible], value=False)
        error = (restored - target) ** 2
        grey = error[..., : PATCH_SIZE**2].mean(-1)
        gradients = error[..., PATCH_SIZE**2 :].mean(-1)
        mean: Tensor = (grey + gradients)[hidden].mean()
        return mean

    def described_losses(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Error of the film's description, and cross-entropy of the labels where they are known."""
        summary = self.summarise(self.encoder.tokens(standardised(images)))
        target = (description(images) - self.description_mean) / self.description_std
        about_film = F.mse_loss(self.describe(summary), target)
        return about_film, self._label_loss(summary, labels)

    def _label_loss(self, summary: Tensor, labels: Tensor) -> Tensor:
        total = summary.new_zeros(())
        for column, head in enumerate(self.label_heads):
            labelled = labels[:, column] != UNKNOWN
            if labelled.any():
                answers = head(summary[labelled])
                total = total + F.cross_entropy(answers, labels[labelled, column])
        return total


def standardised(images: Tensor) -> Tensor:
    """Films in [0, 1], standardised by the encoder's pixel mean and standard deviation."""
    return (images - PIXEL_MEAN[0]) / PIXEL_STD[0]
