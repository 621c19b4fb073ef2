"""Small models of foreign libraries, saved by these libraries themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.registry.discovery import load_registry

VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out the progress bars of transformers."""
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.utils.logging.enable_progress_bar()


def _dinov2() -> tuple[Any, Any]:
    config = transformers.Dinov2Config(**{**VISION, "mlp_ratio": 2})
    crop = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    return transformers.Dinov2Model(config), transformers.BitImageProcessor(**crop)


def _vit() -> tuple[Any, Any]:
    size = {"height": 32, "width": 32}
    processor = transformers.ViTImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return transformers.ViTModel(transformers.ViTConfig(**VISION)), processor


def _clip() -> tuple[Any, Any]:
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)
    crop = {"height": 32, "width": 32}
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=crop)
    return transformers.CLIPModel(config), processor


def _siglip() -> tuple[Any, Any]:
    """A processor that does not resize, as MedSigLIP's."""
    config = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION)
    return transformers.SiglipModel(config), transformers.SiglipImageProcessor(do_resize=False)


KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "dinov2": _dinov2,
    "vit": _vit,
    "clip": _clip,
    "siglip": _siglip,
}


def save_transformers(kind: str, folder: Path) -> Path:
    """A small model with random weights and its image processor."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(3)
        model, processor = KINDS[kind]()
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def save_onnx(path: Path, batch: int | None = None, channels_last: bool = False) -> Path:
    """Convolution, ReLU, mean over positions, linear layer: tensors conv, relu, mean and logits."""
    generator = torch.Generator().manual_seed(5)
    side = 32
    weights = {
        "kernel": torch.randn(24, 3, 4, 4, generator=generator) / 7,
        "matrix": torch.randn(24, 5, generator=generator),
    }
    shape = [batch or "N", side, side, 3] if channels_last else [batch or "N", 3, side, side]
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["conv"], strides=[4, 4]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
    ]
    if channels_last:
        nodes.insert(0, helper.make_node("Transpose", ["images"], ["pixels"], perm=[0, 3, 1, 2]))
    name = "images" if channels_last else "pixels"
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch or "N", 5])],
        [numpy_helper.from_array(each.numpy(), key) for key, each in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


CLIP_CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


def save_open_clip(folder: Path) -> Path:
    """A folder as open_clip's hub models have: config, preprocessing and weights."""
    import open_clip

    folder.mkdir()
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    facts = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = open_clip.CLIP(**CLIP_CONFIG)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_xrv(path: Path) -> Path:
    """A DenseNet of TorchXRayVision, pickled whole as its releases are."""
    from torchxrayvision.models import DenseNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        torch.save(DenseNet(num_classes=18), path)
    return path


def make(
    name: str, cache: Path, device: str = "cpu", precision: str = "fp32", **settings: object
) -> Encoder:
    """An encoder of the registry."""
    offer, argument = load_registry().find("encoders", name)
    request = EncoderRequest(name, argument, device, precision, cache)
    encoder: Encoder = offer.plugin.make(request, {"chunk": 4, **settings}, "encoder")
    return encoder


def films(count: int, side: int, channels: int = 1) -> torch.Tensor:
    """Random images in [0, 1]."""
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(count))
