"""Linear layers and convolutions that compute their bias and activation, too, by device.

Activations have oneDNN's names.
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
    """The activation that a module computes; ``None`` if the layers do not have it."""
    kind = type(module)
    if kind is nn.GELU:
        return Activation("gelu", variant=cast("nn.GELU", module).approximate)
    if kind in (nn.ReLU6, nn.Hardtanh):
        limits = cast("nn.Hardtanh", module)
        return Activation("hardtanh", (float(limits.min_val), float(limits.max_val)))
    names: dict[type, str] = {nn.ReLU: "relu", nn.SiLU: "swish", nn.Identity: "none"}
    return Activation(names[kind]) if kind in names else None


@dataclass(frozen=True)
class Geometry:
    """Stride, zero padding and dilation of a convolution by axis, and its groups."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int


class FusedConvolution(nn.Module):
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


@dataclass(frozen=True)
class Layers:
    """The layers of one kind of device.

    Attributes:
        linear: A linear layer, made of weight ``(out, in)``, bias ``(out,)`` or ``None``, and
            activation; it maps ``(..., in)`` to ``(..., out)``.
        convolution: A convolution; it maps ``(N, in, H, W)`` to ``(N, out, H', W')``.
    """

    linear: type[nn.Module]
    convolution: type[FusedConvolution]
