"""Rebuilds a network for embeddings without gradients, and checks it against the original.

What is rebuilt: blocks of vision transformers, chains of convolution, normalisation and
activation, and linear layers. All else stays as it is, so any network can be given.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..resident import LEVELS, sent
from .convolutions import with_fused_convolutions
from .gpu_layers import CUDA
from .layers import IDENTITY, Layers
from .packed import ONEDNN
from .transformer_parts import block_behind_class_token, block_parts, patch_product
from .transformers import EditedPixels, FusedBlock, FusedLastBlock, PatchProducts


class FusedNetwork(nn.Module):
    """A rebuilt network; it maps pixels in [0, 1] to embeddings.

    Args:
        network: A network in evaluation; it is not changed, and shares its parameters.
        mean: Mean of each channel, in units of [0, 1].
        std: Standard deviation of each channel.
        fold: Whether the standardisation becomes part of the network's patch embedding, if it has one.
        layers: The layers; ``None`` for those of the network's device.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        fold: bool = True,
        layers: Layers | None = None,
    ) -> None:
        super().__init__()
        tensors = [*network.parameters(), *network.buffers()]
        self.device = tensors[0].device if tensors else torch.device("cpu")
        layers = layers or (ONEDNN if self.device.type == "cpu" else CUDA)
        self._network = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
        patches = [module for module in self._network.modules() if patch_product(module)]
        norm = (mean, std) if fold and len(patches) == 1 else None
        last = block_behind_class_token(self._network)
        replaced = _replace(self._network, layers, norm, last)
        kind = next(
            (tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32
        )
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
            for values in (mean, std)
        )
        leaves = (layers.linear, layers.convolution, FusedBlock, PatchProducts)
        convolutional = with_fused_convolutions(self._network, layers, leaves)
        self._network = convolutional or self._network
        products = [
            module for module in self._network.modules() if isinstance(module, PatchProducts)
        ]
        self._patches = products[0] if products else None
        self.equal = not replaced and convolutional is None
        """Whether nothing was rebuilt."""
        self._format = torch.channels_last if convolutional else torch.contiguous_format
        self._kind = kind

    def forward(self, images: Tensor) -> Tensor:
        """Pixels ``(N, 1 or C, H, W)`` to embeddings ``(N, D)``; one channel is repeated."""
        images = self._coloured(images.to(self.device, non_blocking=True))
        if self._patches is None:
            standardised = (images - self._mean) / self._std
            images = standardised.to(self._kind).contiguous(memory_format=self._format)
        return cast(Tensor, self._network(images))

    def tokens_of_edits(self, edits: Tensor) -> Tensor | None:
        """What edits ``(K, 1, H, W)`` add to the patch tokens, ``(K, T, D)``.

        ``None`` if the network does not begin with products of patches.
        """
        if self._patches is None:
            return None
        return self._patches.of_edits(self._coloured(sent(edits, self.device).to(self._kind)))

    def edited(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of edited images.

        Args:
            pixels: ``(N, 1 or C, H, W)``, 8-bit, on the network's device.
            tokens: :meth:`tokens_of_edits` of each image's edit, ``(1 or N, T, D)``.
        """
        return cast(Tensor, self._network(EditedPixels(self._coloured(pixels), tokens)))

    def _coloured(self, images: Tensor) -> Tensor:
        """One channel is repeated."""
        return images.expand(-1, self._mean.shape[1], -1, -1)


def _replace(
    module: nn.Module,
    layers: Layers,
    norm: tuple[Sequence[float], Sequence[float]] | None,
    last: nn.Module | None,
) -> int:
    """Replaces the layers below a module that have a fused form, and returns their number.

    Args:
        module: The module.
        layers: The layers of its device.
        norm: Mean and deviation of the channels, if they become part of the patch embedding.
        last: The block of which only the first token is read.
    """
    replaced = 0
    for name, child in module.named_children():
        fused: nn.Module
        if block := block_parts(child):
            fused = (FusedLastBlock if child is last else FusedBlock)(block, layers)
        elif norm and (product := patch_product(child)):
            fused = PatchProducts(product, *norm, layers)
        elif type(child) is nn.Linear:
            fused = layers.linear(child.weight, child.bias, IDENTITY)
        else:
            replaced += _replace(child, layers, norm, last)
            continue
        setattr(module, name, fused)
        replaced += 1
    return replaced


def agreeing(
    network: nn.Module,
    mean: Sequence[float],
    std: Sequence[float],
    eager: Callable[[Tensor], Tensor],
    shape: tuple[int, int, int],
    tolerance: float,
) -> FusedNetwork | None:
    """The rebuilt network, if it gives the original's embeddings.

    Args:
        network: A network in evaluation.
        mean: Mean of each channel, in units of [0, 1].
        std: Standard deviation of each channel.
        eager: Embeds pixels in [0, 1] by the network itself.
        shape: The shape ``(C, H, W)`` of an image.
        tolerance: Largest difference, relative to the largest number of the embeddings.

    Returns:
        ``None`` where there is nothing to rebuild, PyTorch lacks the operators, the network uses its
        layers in another way than by calling them, there is not enough memory to tell, or an
        embedding differs by more than the tolerance.
    """
    with torch.inference_mode():
        for fold in (True, False):
            try:
                fused = FusedNetwork(network, mean, std, fold=fold)
                if not fused.equal and _agrees(fused, eager, shape, tolerance):
                    return fused
            except Exception:  # code of any kind meets layers that it does not expect
                continue
    return None


def _agrees(
    fused: FusedNetwork,
    eager: Callable[[Tensor], Tensor],
    shape: tuple[int, int, int],
    tolerance: float,
) -> bool:
    """Whether a rebuilt network gives the embeddings of two random images, and of edited ones."""
    noise = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(fused.device)
    pairs = [(fused(images), eager(images)) for images in (noise, noise[:, :1])]
    levels, edit = (noise * LEVELS).to(torch.uint8), noise[:1, :1] - 0.5
    tokens = fused.tokens_of_edits(edit)
    if tokens is not None:
        pairs.append((fused.edited(levels, tokens), eager(levels / LEVELS + edit)))
    return all(
        float((ours.float() - wanted).abs().max()) <= tolerance * float(wanted.abs().max())
        for ours, wanted in pairs
    )
