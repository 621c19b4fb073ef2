"""timm's vision transformer blocks, and the products of their patches, with fused layers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..resident import LEVELS
from .layers import IDENTITY, Activation, Layers, known_activation

if TYPE_CHECKING:
    from timm.layers.attention import Attention
    from timm.layers.mlp import Mlp
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.vision_transformer import Block

TIMM = "timm"
"""The library whose networks have these parts; where it is not imported, no network has them."""


class FusedBlock(nn.Module):
    """A block of a vision transformer (Dosovitskiy et al. 2021, Eq. 2 and 3).

    The activation is computed with the first layer of the MLP, layer scales are multiplied into
    weights, and both sums are written over the block's input.
    """

    def __init__(self, block: Block, layers: Layers) -> None:
        super().__init__()
        attention, mlp = cast("Attention", block.attn), cast("Mlp", block.mlp)
        self._heads = attention.num_heads
        self._norm1, self._norm2 = block.norm1, block.norm2
        self._attention_norm, self._mlp_norm = attention.norm, mlp.norm
        self._read(attention, layers)
        self._project = layers.linear(*_scaled(attention.proj, block.ls1), IDENTITY)
        activation = cast("Activation", known_activation(mlp.act))  # fusible() checked it
        self._widen = layers.linear(mlp.fc1.weight, mlp.fc1.bias, activation)
        narrow = _scaled(cast("nn.Linear", mlp.fc2), block.ls2)
        self._narrow = layers.linear(*narrow, IDENTITY)

    def _read(self, attention: Attention, layers: Layers) -> None:
        """Keeps the weights of queries, keys and values."""
        self._query_norm, self._key_norm = attention.q_norm, attention.k_norm
        self._qkv = layers.linear(attention.qkv.weight, attention.qkv.bias, IDENTITY)

    @staticmethod
    def fusible(module: nn.Module) -> bool:
        """Whether a module is a block of the usual form."""
        if TIMM not in sys.modules:
            return False
        from timm.layers.attention import Attention
        from timm.layers.mlp import Mlp
        from timm.models.vision_transformer import Block

        if type(module) is not Block:
            return False
        attention, mlp = module.attn, module.mlp
        return (
            type(attention) is Attention
            and getattr(attention, "gate", None) is None
            and type(mlp) is Mlp
            and type(mlp.fc1) is type(mlp.fc2) is nn.Linear
            and known_activation(mlp.act) is not None
        )

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

    def _read(self, attention: Attention, layers: Layers) -> None:
        heads = attention.num_heads
        queries, keys, values = attention.qkv.weight.chunk(3)
        biases = None if attention.qkv.bias is None else attention.qkv.bias.chunk(3)
        of_queries = None if biases is None else biases[0] * attention.scale
        self._query = layers.linear(queries * attention.scale, of_queries, IDENTITY)
        self._keys = keys.detach().view(heads, -1, keys.shape[1])
        self._values = values.detach().view(heads, -1, values.shape[1]).mT
        self._value_bias = None if biases is None else biases[2].detach()

    @staticmethod
    def fusible(module: nn.Module) -> bool:
        """Whether a module is a block of the usual form, whose queries and keys are linear."""
        if not FusedBlock.fusible(module):
            return False
        attention = cast("Attention", module.attn)
        return isinstance(attention.q_norm, nn.Identity) and isinstance(
            attention.k_norm, nn.Identity
        )

    @staticmethod
    def of(network: nn.Module) -> nn.Module | None:
        """The last block of a network whose embedding is its class token; ``None`` if it has none."""
        if TIMM not in sys.modules:
            return None
        from timm.models.vision_transformer import VisionTransformer

        if type(network) is not VisionTransformer or network.global_pool != "token":
            return None
        return network.blocks[-1] if FusedLastBlock.fusible(network.blocks[-1]) else None

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
        patches: The patch embedding.
        mean: Mean of each channel, in units of [0, 1].
        std: Standard deviation of each channel.
        layers: The layers of the embedding's device.
    """

    def __init__(
        self, patches: PatchEmbed, mean: Sequence[float], std: Sequence[float], layers: Layers
    ) -> None:
        super().__init__()
        weight = patches.proj.weight.double()
        mean_of, std_of = (
            weight.new_tensor(statistic).view(1, -1, 1, 1) for statistic in (mean, std)
        )
        scaled = weight / std_of
        shift = (scaled * mean_of).sum((1, 2, 3))
        bias = torch.zeros_like(shift) if patches.proj.bias is None else patches.proj.bias.double()
        kind = patches.proj.weight.dtype
        self._side, self._kind = int(patches.proj.kernel_size[0]), kind
        self._center = mean_of.float() if kind == torch.bfloat16 else None
        weight, shifted = scaled.flatten(1), (bias - shift).to(kind)
        of_pixels = shifted if self._center is None else bias.to(kind)
        self._of_pixels = layers.linear(weight.to(kind), of_pixels, IDENTITY)
        self._of_levels = layers.linear((weight / LEVELS).to(kind), shifted, IDENTITY)
        self._of_edits = layers.linear(weight.to(kind), None, IDENTITY)

    @staticmethod
    def fusible(module: nn.Module) -> bool:
        """Whether a module cuts an image into square patches that do not overlap."""
        if TIMM not in sys.modules:
            return False
        from timm.layers.patch_embed import PatchEmbed

        if type(module) is not PatchEmbed:
            return False
        product = module.proj
        side = product.kernel_size[0]
        return (
            module.flatten
            and not module.dynamic_img_pad
            and isinstance(module.norm, nn.Identity)
            and tuple(product.kernel_size) == tuple(product.stride) == (side, side)
            and product.padding == (0, 0)
        )

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


def _scaled(layer: nn.Linear, scale: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a linear layer, multiplied by the layer scale behind it."""
    from timm.layers.layer_scale import LayerScale

    if not isinstance(scale, LayerScale):
        return layer.weight, layer.bias
    bias = None if layer.bias is None else layer.bias * scale.gamma
    return layer.weight * scale.gamma[:, None], bias
