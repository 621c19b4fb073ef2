"""Finds the layers of vision transformers, timm's and the bundled ones, that have a fused form."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from ..vision_transformer import Block, PatchEmbed
from .layers import Activation, known_activation

if TYPE_CHECKING:
    from timm.models.vision_transformer import Block as TimmBlock

TIMM = "timm"
"""The library whose networks have such layers, too; where it is not imported, no network is timm's."""

Product = tuple[Tensor, Tensor | None]
"""Weight ``(out, in)`` and bias ``(out,)`` of a linear layer."""


@dataclass(frozen=True)
class BlockParts:
    """The layers of a block in the order in which they compute.

    Attributes:
        heads: Heads of the attention.
        norm1: Norm before the attention.
        qkv: Weight and bias of queries, keys and values.
        query_norm: Norm of the queries of a head.
        key_norm: Norm of the keys of a head.
        attention_norm: Norm of what the attention mixed.
        project: Weight and bias after the attention, with the layer scale multiplied in.
        norm2: Norm before the MLP.
        widen: Weight and bias of the first layer of the MLP.
        activation: Activation of the MLP.
        mlp_norm: Norm between the layers of the MLP.
        narrow: Weight and bias of the second layer of the MLP, with the layer scale multiplied in.
    """

    heads: int
    norm1: nn.Module
    qkv: Product
    query_norm: nn.Module
    key_norm: nn.Module
    attention_norm: nn.Module
    project: Product
    norm2: nn.Module
    widen: Product
    activation: Activation
    mlp_norm: nn.Module
    narrow: Product

    @property
    def linear_queries(self) -> bool:
        """Whether queries and keys are linear in the tokens behind the first norm."""
        return isinstance(self.query_norm, nn.Identity) and isinstance(self.key_norm, nn.Identity)


def block_parts(module: nn.Module) -> BlockParts | None:
    """The layers of a module that is a block of the usual form; else ``None``."""
    if type(module) is not Block and not _usual_block_of_timm(module):
        return None
    block = cast("TimmBlock", module)  # the bundled one has the same names, without the options
    attention, mlp = cast("Any", block.attn), cast("Any", block.mlp)
    activation = known_activation(mlp.act)
    if activation is None:
        return None
    return BlockParts(
        heads=attention.num_heads,
        norm1=block.norm1,
        qkv=(attention.qkv.weight, attention.qkv.bias),
        query_norm=_optional(attention, "q_norm"),
        key_norm=_optional(attention, "k_norm"),
        attention_norm=_optional(attention, "norm"),
        project=_scaled(attention.proj, _optional(block, "ls1")),
        norm2=block.norm2,
        widen=(mlp.fc1.weight, mlp.fc1.bias),
        activation=activation,
        mlp_norm=_optional(mlp, "norm"),
        narrow=_scaled(mlp.fc2, _optional(block, "ls2")),
    )


def block_behind_class_token(network: nn.Module) -> nn.Module | None:
    """The last block of a network that reads nothing but the class token; else ``None``.

    ``None`` also where the block's queries and keys are not linear.
    """
    if TIMM not in sys.modules:
        return None
    from timm.models.vision_transformer import VisionTransformer

    if type(network) is not VisionTransformer or network.global_pool != "token":
        return None
    parts = block_parts(network.blocks[-1])
    return network.blocks[-1] if parts is not None and parts.linear_queries else None


def patch_product(module: nn.Module) -> nn.Conv2d | None:
    """The convolution of a patch embedding, if its square patches do not overlap; else ``None``."""
    if type(module) is not PatchEmbed and not _usual_patches_of_timm(module):
        return None
    product = cast("nn.Conv2d", module.proj)
    side = product.kernel_size[0]
    square = tuple(product.kernel_size) == tuple(product.stride) == (side, side)
    return product if square and product.padding == (0, 0) else None


def _usual_block_of_timm(module: nn.Module) -> bool:
    if TIMM not in sys.modules:
        return False
    from timm.layers.attention import Attention
    from timm.layers.mlp import Mlp
    from timm.models.vision_transformer import Block as TimmBlock

    if type(module) is not TimmBlock:
        return False
    attention, mlp = module.attn, module.mlp
    return (
        type(attention) is Attention
        and getattr(attention, "gate", None) is None
        and type(mlp) is Mlp
        and type(mlp.fc1) is type(mlp.fc2) is nn.Linear
    )


def _usual_patches_of_timm(module: nn.Module) -> bool:
    if TIMM not in sys.modules:
        return False
    from timm.layers.patch_embed import PatchEmbed as TimmPatchEmbed

    return (
        type(module) is TimmPatchEmbed
        and module.flatten
        and not module.dynamic_img_pad
        and isinstance(module.norm, nn.Identity)
    )


def _optional(owner: nn.Module, name: str) -> nn.Module:
    """A layer that an owner may have; the identity if it has none."""
    return getattr(owner, name, None) or nn.Identity()


def _scaled(layer: nn.Linear, scale: nn.Module) -> Product:
    """Weight and bias of a linear layer, multiplied by the layer scale behind it, if it is one."""
    factors = getattr(scale, "gamma", None)
    if factors is None:
        return layer.weight, layer.bias
    return layer.weight * factors[:, None], None if layer.bias is None else layer.bias * factors
