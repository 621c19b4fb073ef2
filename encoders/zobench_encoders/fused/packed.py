"""Layers that oneDNN computes together with their bias and activation, with weights laid out once.

PyTorch's own layers lay the bias out before each product and read the result again for the
activation. The operators used here are those that PyTorch's compiler calls on a CPU; they need no
compiler. They take float32 and bfloat16, and give no gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Activation:
    """An activation by oneDNN's name.

    Attributes:
        name: The name; ``none`` for no activation.
        numbers: Its limits or slopes.
        variant: The formula, where there are several.
    """

    name: str = "none"
    numbers: tuple[float, ...] = ()
    variant: str = ""


IDENTITY = Activation()


def known_activation(module: nn.Module) -> Activation | None:
    """The activation that a module computes; ``None`` if oneDNN's layers do not have it."""
    kind = type(module)
    if kind is nn.GELU:
        return Activation("gelu", variant=cast("nn.GELU", module).approximate)
    if kind in (nn.ReLU6, nn.Hardtanh):
        limits = cast("nn.Hardtanh", module)
        return Activation("hardtanh", (float(limits.min_val), float(limits.max_val)))
    names: dict[type, str] = {nn.ReLU: "relu", nn.SiLU: "swish", nn.Identity: "none"}
    return Activation(names[kind]) if kind in names else None


class PackedLinear(nn.Module):
    """A linear layer with an activation.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)`` or ``None``.
        activation: Applied to the result.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: Activation = IDENTITY
    ) -> None:
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


@dataclass(frozen=True)
class Geometry:
    """Stride, zero padding and dilation of a convolution by axis, and its groups."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int


class PackedConvolution(nn.Module):
    """A convolution with an activation; its images lie in memory with the channels last.

    Args:
        weight: ``(out, in / groups, height, width)``.
        bias: ``(out,)`` or ``None``.
        geometry: Stride, padding, dilation and groups.
        activation: Applied to the result.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: Activation
    ) -> None:
        super().__init__()
        self._weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.detach()
        self._geometry, self._activation = geometry, activation

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
