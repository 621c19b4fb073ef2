"""A vision transformer in plain PyTorch, for the bundled networks: timm takes seconds to load.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", Eq. 1 to 4, without a class token. Parameters
have the names, the shapes and the initial distributions of timm's ``VisionTransformer``.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MLP_RATIO = 4
EPSILON = 1e-6
"""Added to the variance in layer norms."""
DEVIATION = 0.02
"""Standard deviation of the initial weights of linear layers."""
LONGEST_WAVE = 10_000.0
"""Ratio of the longest to the shortest wave of position embeddings."""


class PatchEmbed(nn.Module):
    """Cuts images into square patches and maps each to a token."""

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=side, stride=side)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to tokens ``(N, T, D)``."""
        return cast(Tensor, self.proj(images)).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention of several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(N, T, D)`` to ``(N, T, D)``."""
        count, length, _ = tokens.shape
        qkv = self.qkv(tokens).reshape(count, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.proj(mixed.transpose(1, 2).flatten(2)))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, for each token by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(N, T, D)`` to ``(N, T, D)``."""
        return cast(Tensor, self.fc2(self.act(self.fc1(tokens))))


class Block(nn.Module):
    """Self-attention and an MLP, each behind a layer norm and added to its input (Eq. 2 and 3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(N, T, D)`` to ``(N, T, D)``."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return cast(Tensor, tokens + self.mlp(self.norm2(tokens)))


class VisionTransformer(nn.Module):
    """Maps square images to normed tokens, one a patch.

    Position embeddings start as sines and cosines (He et al. 2022) and are learned.

    Args:
        channels: Channels of an image.
        grid: Patches in a row, and rows of patches.
        side: Side of a patch, in pixels.
        width: Numbers of a token; a multiple of 4 and of ``heads``.
        depth: Blocks.
        heads: Heads of the attention.
    """

    def __init__(
        self, *, channels: int, grid: int, side: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(channels, side, width)
        self.pos_embed = nn.Parameter(sines_and_cosines(grid, width)[None])
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.blocks.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images ``(N, C, H, W)`` to tokens ``(N, T, D)``."""
        return cast(Tensor, self.norm(self.blocks(self.patch_embed(images) + self.pos_embed)))


def sines_and_cosines(grid: int, width: int) -> Tensor:
    """Position embeddings of a square grid, ``(grid * grid, width)``, row by row.

    A quarter of the numbers are sines of the row, a quarter its cosines, and so for the column.
    """
    waves = LONGEST_WAVE ** -(torch.arange(width // 4) / (width // 4))
    steps = torch.arange(grid).float()
    places = torch.cartesian_prod(steps, steps)[..., None] * waves
    return torch.cat([places.sin(), places.cos()], dim=1).flatten(1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=DEVIATION)
        nn.init.zeros_(module.bias)
