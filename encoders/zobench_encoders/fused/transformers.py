"""Blocks of vision transformers, and the products of their patches, with fused layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..resident import LEVELS
from .layers import IDENTITY, Layers
from .transformer_parts import BlockParts


class FusedBlock(nn.Module):
    """A block of a vision transformer (Dosovitskiy et al. 2021, Eq. 2 and 3).

    The activation is computed with the first layer of the MLP, layer scales are multiplied into
    weights, and both sums are written over the block's input.
    """

    def __init__(self, block: BlockParts, layers: Layers) -> None:
        super().__init__()
        self._heads = block.heads
        self._norm1, self._norm2 = block.norm1, block.norm2
        self._attention_norm, self._mlp_norm = block.attention_norm, block.mlp_norm
        self._read(block, layers)
        self._project = layers.linear(*block.project, IDENTITY)
        self._widen = layers.linear(*block.widen, block.activation)
        self._narrow = layers.linear(*block.narrow, IDENTITY)

    def _read(self, block: BlockParts, layers: Layers) -> None:
        """Keeps the weights of queries, keys and values."""
        self._query_norm, self._key_norm = block.query_norm, block.key_norm
        self._qkv = layers.linear(*block.qkv, IDENTITY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(N, T, D)`` to ``(N, T, D)``, in the memory of the argument."""
        count, length, _ = tokens.shape
        qkv = self._qkv(self._norm1(tokens)).view(count, length, 3, self._heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(self._query_norm(query), self._key_norm(key), value)
        return self._behind(tokens, mixed.transpose(1, 2).flatten(2))

    def _behind(self, tokens: Tensor, mixed: Tensor) -> Tensor:
        """What follows the attention, in the memory of the tokens ``(..., D)``."""
        tokens += self._project(self._attention_norm(mixed))
        tokens += self._narrow(self._mlp_norm(self._widen(self._norm2(tokens))))
        return tokens


class FusedLastBlock(FusedBlock):
    """A block of whose result only the first token is read, so no other is computed.

    One query needs no keys: ``q · (W n + b)`` of a token ``n`` is ``(W' q) · n`` and ``q · b``, which
    is equal for all tokens and cancels in the softmax. The values are linear, too, and the weights of
    a mixture sum to one, so tokens are mixed first, and the mixture alone is multiplied.
    """

    def _read(self, block: BlockParts, layers: Layers) -> None:
        heads, (weight, bias) = block.heads, block.qkv
        queries, keys, values = weight.chunk(3)
        scale = (len(queries) // heads) ** -0.5
        biases = None if bias is None else bias.chunk(3)
        of_queries = None if biases is None else biases[0] * scale
        self._query = layers.linear(queries * scale, of_queries, IDENTITY)
        self._keys = keys.detach().view(heads, -1, keys.shape[1])
        self._values = values.detach().view(heads, -1, values.shape[1]).mT
        self._value_bias = None if biases is None else biases[2].detach()

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(N, T, D)`` to the first one, ``(N, 1, D)``, in the memory of the argument."""
        normed = self._norm1(tokens)
        query = self._query(normed[:, 0]).unflatten(1, (self._heads, -1)).transpose(0, 1)
        asked = (query @ self._keys).transpose(0, 1)  # what each head looks for, (N, heads, D)
        all_tokens = normed[:, None]
        mean = F.scaled_dot_product_attention(asked[:, None], all_tokens, all_tokens, scale=1.0)
        mixed = (mean[:, 0].transpose(0, 1) @ self._values).transpose(0, 1).flatten(1)
        if self._value_bias is not None:
            mixed = mixed + self._value_bias
        return self._behind(tokens[:, :1], mixed.unsqueeze(1))


@dataclass(frozen=True)
class EditedPixels:
    """Images in place of the tensor that a network passes to its patch embedding.

    Attributes:
        pixels: ``(N, C, H, W)``, 8-bit.
        shift: What the edits add to the patch tokens, ``(1 or N, T, D)``.
    """

    pixels: Tensor
    shift: Tensor


class PatchProducts(nn.Module):
    """Patch embeddings as one product, of pixels that need not be standardised.

    ``W (x - mean) / std + b`` is ``W' x + b'`` with ``W' = W / std`` and ``b' = b - W' mean``. An
    edit adds ``W' edit`` to the tokens of every image, so it is multiplied once for all of them.
    8-bit pixels are exact in bfloat16; others are centred before they are rounded to it.

    Args:
        product: The convolution of the patch embedding.
        mean: Mean of each channel, in units of [0, 1].
        std: Standard deviation of each channel.
        layers: The layers of the embedding's device.
    """

    def __init__(
        self, product: nn.Conv2d, mean: Sequence[float], std: Sequence[float], layers: Layers
    ) -> None:
        super().__init__()
        weight = product.weight.double()
        mean_of, std_of = (
            weight.new_tensor(statistic).view(1, -1, 1, 1) for statistic in (mean, std)
        )
        scaled = weight / std_of
        shift = (scaled * mean_of).sum((1, 2, 3))
        bias = torch.zeros_like(shift) if product.bias is None else product.bias.double()
        kind = product.weight.dtype
        self._side, self._kind = product.kernel_size[0], kind
        self._center = mean_of.float() if kind == torch.bfloat16 else None
        weight, shifted = scaled.flatten(1), (bias - shift).to(kind)
        of_pixels = shifted if self._center is None else bias.to(kind)
        self._of_pixels = layers.linear(weight.to(kind), of_pixels, IDENTITY)
        self._of_levels = layers.linear((weight / LEVELS).to(kind), shifted, IDENTITY)
        self._of_edits = layers.linear(weight.to(kind), None, IDENTITY)

    def forward(self, images: Tensor | EditedPixels) -> Tensor:
        """Patch tokens ``(N, T, D)`` of pixels ``(N, C, H, W)`` in [0, 1], or of edited pixels."""
        if isinstance(images, Tensor):
            centred = images if self._center is None else images - self._center
            return cast(Tensor, self._of_pixels(self._rows(centred.to(self._kind))))
        rows = self._rows(images.pixels).to(self._kind)
        return cast(Tensor, self._of_levels(rows)).add_(images.shift)

    def of_edits(self, edits: Tensor) -> Tensor:
        """What edits ``(K, C, H, W)`` add to the tokens, ``(K, T, D)``."""
        return cast(Tensor, self._of_edits(self._rows(edits)))

    def _rows(self, images: Tensor) -> Tensor:
        """The pixels of each patch, ``(N, T, C * side * side)``."""
        count, channels, height, width = images.shape
        side, grid = self._side, (height // self._side, width // self._side)
        patches = images.reshape(count, channels, grid[0], side, grid[1], side)
        return patches.permute(0, 2, 4, 1, 3, 5).reshape(count, grid[0] * grid[1], -1)
