"""Convolutions with the batch normalisation and the activation behind them, as one layer each.

In evaluation a batch normalisation is linear, so it is multiplied into the weights before it. The
chains are found in the graph of the network (``torch.fx``); a network whose code depends on its
input has no such graph.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .layers import IDENTITY, Activation, Geometry, Layers, known_activation

FUNCTIONS: dict[Callable[..., Any], Activation] = {
    F.relu: Activation("relu"),
    torch.relu: Activation("relu"),
    F.relu6: Activation("hardtanh", (0.0, 6.0)),
    F.silu: Activation("swish"),
}
"""Activations by the function that computes them."""

CALL: dict[str, Any] = {
    "input": None,
    "weight": None,
    "bias": None,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
}
"""The arguments of ``F.conv2d``, in their order, with their defaults."""


@dataclass(frozen=True)
class Chain:
    """A convolution and the nodes behind it that are computed with it.

    Attributes:
        source: The node of the images.
        last: The last node of the chain.
        weight: Weights, with the normalisation multiplied in.
        bias: Bias, with the normalisation multiplied in.
        geometry: Stride, padding, dilation and groups.
        activation: The activation at the end.
    """

    source: fx.Node
    last: fx.Node
    weight: Tensor
    bias: Tensor | None
    geometry: Geometry
    activation: Activation = IDENTITY


class _Tracer(fx.Tracer):
    """Traces into convolutions of other packages, which add their own padding."""

    def __init__(self, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = isinstance(m, (nn.BatchNorm2d, *self._leaves))
        return leaf or super().is_leaf_module(m, module_qualified_name)


def with_fused_convolutions(
    module: nn.Module, layers: Layers, leaves: tuple[type[nn.Module], ...]
) -> nn.Module | None:
    """The network with fused convolutions; ``None`` if it has no graph, or no convolution in it.

    Args:
        module: A network in evaluation.
        layers: The layers of its device.
        leaves: Modules that are not traced into.
    """
    if not any(isinstance(part, nn.Conv2d) for part in module.modules()):
        return None
    try:
        graph = _Tracer(leaves).trace(module)
    except Exception:  # code that depends on its input; there is no one kind of error
        return None
    network = fx.GraphModule(module, graph)
    chains = [chain for node in graph.nodes if (chain := _chain(node, network)) is not None]
    replaced: dict[fx.Node, fx.Node] = {}
    for number, chain in enumerate(chains):
        name = f"fused_convolution_{number}"
        network.add_module(
            name, layers.convolution(chain.weight, chain.bias, chain.geometry, chain.activation)
        )
        with graph.inserting_after(chain.last):
            fused = graph.call_module(name, (replaced.get(chain.source, chain.source),))
        chain.last.replace_all_uses_with(fused)
        replaced[chain.last] = fused
    graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    return network if chains else None


def _chain(node: fx.Node, network: fx.GraphModule) -> Chain | None:
    """The chain that starts with a convolution."""
    chain = _convolution(node, network)
    if chain is None:
        return None
    chain = _with_padding_before(chain, network)
    behind = _only_user(chain.last)
    norm = _module(behind, network)
    if behind is not None and isinstance(norm, nn.BatchNorm2d):
        activation = _activation_inside(norm)
        if activation is None or norm.running_mean is None or norm.running_var is None:
            return chain
        folded = fuse_conv_bn_weights(
            chain.weight.float(),  # so that bfloat16 is rounded once
            None if chain.bias is None else chain.bias.float(),
            norm.running_mean.float(),
            norm.running_var.float(),
            norm.eps,
            norm.weight,
            norm.bias,
        )
        weight, bias = (tensor.detach().to(chain.weight.dtype) for tensor in folded)
        chain = replace(chain, last=behind, weight=weight, bias=bias, activation=activation)
    if chain.activation == IDENTITY:
        behind = _only_user(chain.last)
        applied = None if behind is None else _activation(behind, network)
        if behind is not None and applied is not None:
            chain = replace(chain, last=behind, activation=applied)
    return chain


def _convolution(node: fx.Node, network: fx.GraphModule) -> Chain | None:
    """A convolution of two axes with zero padding, as a layer or as a call of ``F.conv2d``."""
    layer = _module(node, network)
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros":
        if isinstance(layer.padding, str) or not node.args:
            return None
        geometry = Geometry(layer.stride, layer.padding, layer.dilation, layer.groups)
        return Chain(cast(fx.Node, node.args[0]), node, layer.weight, layer.bias, geometry)
    if node.op != "call_function" or node.target not in (F.conv2d, torch.conv2d):
        return None
    given = {**CALL, **dict(zip(CALL, node.args, strict=False)), **node.kwargs}
    source, bias = given["input"], _parameter(given["bias"], network)
    weight = _parameter(given["weight"], network)
    constant = weight is not None and (bias is not None or given["bias"] is None)
    if not constant or not isinstance(source, fx.Node) or isinstance(given["padding"], str):
        return None
    stride, padding, dilation = (
        _both(given[option]) for option in ("stride", "padding", "dilation")
    )
    geometry = Geometry(stride, padding, dilation, given["groups"])
    return Chain(source, node, cast(Tensor, weight), bias, geometry)


def _both(value: int | Sequence[int]) -> Sequence[int]:
    """A number for each of the two axes."""
    return (value, value) if isinstance(value, int) else value


def _with_padding_before(chain: Chain, network: fx.GraphModule) -> Chain:
    """The chain with the zero padding before it, where that is equal on both sides."""
    before = chain.source
    layer = _module(before, network)
    if type(layer) is not nn.ZeroPad2d or any(chain.geometry.padding) or not before.args:
        return chain
    left, right, top, bottom = layer.padding
    if left != right or top != bottom:
        return chain
    geometry = replace(chain.geometry, padding=(top, left))
    return replace(chain, source=cast(fx.Node, before.args[0]), geometry=geometry)


def _activation_inside(norm: nn.BatchNorm2d) -> Activation | None:
    """The activation that a normalisation computes, too; ``None`` if it is not known."""
    if type(norm) is nn.BatchNorm2d:
        return IDENTITY
    if "timm" not in sys.modules:
        return None
    from timm.layers.norm_act import BatchNormAct2d

    if type(norm) is not BatchNormAct2d or not isinstance(norm.drop, nn.Identity):
        return None
    return known_activation(norm.act)


def _activation(node: fx.Node, network: fx.GraphModule) -> Activation | None:
    layer = _module(node, network)
    if layer is not None:
        return known_activation(layer)
    if node.op == "call_function" and not isinstance(node.target, str):
        return FUNCTIONS.get(node.target)
    return None


def _only_user(node: fx.Node) -> fx.Node | None:
    """The one node that uses a node's result, as its first argument."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].args[:1] == (node,) else None


def _module(node: fx.Node | None, network: fx.GraphModule) -> nn.Module | None:
    if node is None or node.op != "call_module":
        return None
    return network.get_submodule(str(node.target))


def _parameter(argument: object, network: fx.GraphModule) -> Tensor | None:
    if not isinstance(argument, fx.Node) or argument.op != "get_attr":
        return None
    owner, _, name = str(argument.target).rpartition(".")
    tensor = getattr(network.get_submodule(owner), name)
    return tensor if isinstance(tensor, Tensor) else None
