"""Layers on a CPU, computed by oneDNN with weights that are laid out once.

PyTorch's own layers lay the bias out before each product and read the result again for the
activation. The operators used here are those that PyTorch's compiler calls on a CPU; they need no
compiler. They take float32 and bfloat16, and give no gradients.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .layers import Activation, FusedConvolution, Layers


class PackedLinear(nn.Module):
    """A linear layer with an activation.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)`` or ``None``.
        activation: Applied to the result.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        self._bias = None if bias is None else bias.detach()
        self._activation = activation

    def forward(self, rows: Tensor) -> Tensor:
        """Rows ``(..., in)`` to ``(..., out)``."""
        act = self._activation
        return cast(
            Tensor,
            torch.ops.mkldnn._linear_pointwise(
                rows, self._weight, self._bias, act.name, list(act.numbers), act.variant
            ),
        )


class PackedConvolution(FusedConvolution):
    """A convolution of oneDNN."""

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps ``(N, in, H, W)`` to ``(N, out, H', W')``."""
        shape, act = self._geometry, self._activation
        return cast(
            Tensor,
            torch.ops.mkldnn._convolution_pointwise(
                images,
                self._weight,
                self._bias,
                list(shape.padding),
                list(shape.stride),
                list(shape.dilation),
                shape.groups,
                act.name,
                list(act.numbers),
                act.variant,
            ),
        )


ONEDNN = Layers(PackedLinear, PackedConvolution)
"""The layers of a CPU."""
