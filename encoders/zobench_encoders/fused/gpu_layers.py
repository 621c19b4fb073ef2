"""Layers on a GPU: an activation is computed within the product, where cuBLAS has it, or in its place.

cuBLAS has the ReLU, and the GELU in its approximation by a hyperbolic tangent (Hendrycks & Gimpel
2016), which differs from the exact one by less than 0.0005. That is a tenth of the step of bfloat16
at 1, so with bfloat16 it is used for both, and with float32 the GELU follows the product.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Activation, FusedConvolution, Layers


class GpuLinear(nn.Module):
    """A linear layer with an activation.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)`` or ``None``.
        activation: Applied to the result.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        super().__init__()
        self._weight = weight.detach().contiguous()
        self._bias = None if bias is None else bias.detach()
        self._activation = activation
        coarse = weight.dtype == torch.bfloat16
        within = activation.name == "relu" or (activation.name == "gelu" and coarse)
        self._within = within and bias is not None

    def forward(self, rows: Tensor) -> Tensor:
        """Rows ``(..., in)`` to ``(..., out)``."""
        if not self._within:
            return activated(F.linear(rows, self._weight, self._bias), self._activation)
        flat = rows.reshape(-1, rows.shape[-1])
        gelu = self._activation.name == "gelu"
        bias = cast(Tensor, self._bias)
        products = torch._addmm_activation(bias, flat, self._weight.T, use_gelu=gelu)
        return products.view(*rows.shape[:-1], -1)


class GpuConvolution(FusedConvolution):
    """A convolution of cuDNN, with the activation behind it."""

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps ``(N, in, H, W)`` to ``(N, out, H', W')``."""
        shape = self._geometry
        maps = F.conv2d(
            images,
            self._weight,
            self._bias,
            tuple(shape.stride),
            tuple(shape.padding),
            tuple(shape.dilation),
            shape.groups,
        )
        return activated(maps, self._activation)


def activated(numbers: Tensor, activation: Activation) -> Tensor:
    """The activation of a tensor, in its memory where PyTorch can.

    Raises:
        NotImplementedError: There is no such activation.
    """
    match activation.name:
        case "none":
            return numbers
        case "relu":
            return numbers.relu_()
        case "hardtanh":
            low, high = activation.numbers
            return F.hardtanh_(numbers, low, high)
        case "swish":
            return F.silu(numbers, inplace=True)
        case "gelu":
            return F.gelu(numbers, approximate=activation.variant)
    raise NotImplementedError(f"no activation {activation.name!r} on a GPU")


CUDA = Layers(GpuLinear, GpuConvolution)
"""The layers of a GPU."""
