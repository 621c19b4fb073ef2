"""``xrv:<weights>``: the networks of TorchXRayVision, with their own pixel range.

Cohen et al. 2022, "TorchXRayVision: A library of chest X-ray datasets and models", MIDL. The networks
take pixels from -1024 to 1024; pixels of another range give the same embedding for every film (their
issue 89). The embedding is what their classifier reads.

The weight files hold pickled modules. Here only modules of torch and of TorchXRayVision are rebuilt
from them, by torch's reader that runs no other code; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import cut, nearest, parameter
from zobench.errors import ConfigError, EncoderError
from zobench.paths import expanded

from .checkpoints import load_weights, read_weights
from .extras import missing_extra
from .local import Backbone, LocalEncoder, LocalParameters
from .resizing import Resized
from .weights_digest import weights_digest

LARGEST = 1024.0
"""White in TorchXRayVision's pixels; black is the negative."""
FOLDER = Path("~/.torchxrayvision/models_data")
SIDES = {"densenet": 224, "resnet": 512}


@dataclass(frozen=True)
class XrvParameters(LocalParameters):
    """Settings of ``xrv:<weights>``: another file, and the size of the images."""

    weights: str = parameter(
        "", "a weights file; empty: the file that TorchXRayVision downloaded before"
    )
    size: int = parameter(
        0,
        "side of the images in pixels, which are resized to the network's; 0 takes the network's",
        low=0,
        high=4096,
    )


class DenseFeatures(nn.Module):
    """What the classifier of a DenseNet reads."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the network."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, 1024)`` of one-channel images from -1024 to 1024."""
        answer: Tensor = self.network.features2(images)  # type: ignore[operator]
        return answer


def list_weights() -> list[str]:
    """Names of TorchXRayVision's weights; none where the package is not installed."""
    if find_spec("torchxrayvision") is None:
        return []
    return _names(_models("xrv"))


def xrv_model(request: EncoderRequest, parameters: XrvParameters) -> LocalEncoder:
    """A network of TorchXRayVision without its classifier.

    Raises:
        ConfigError: There are no such weights, the file does not fit, or the package is missing.
        EncoderError: The file was not downloaded.
    """
    models = _models(request.name)
    name = request.argument
    names = _names(models)
    if name not in names:
        raise ConfigError(
            f"TorchXRayVision has no weights {cut(name)}{nearest(name, names)}; all of them: "
            "zobench list encoders --all"
        )
    facts = models.model_urls[name]
    path = _file(request.name, name, facts["weights_url"], parameters.weights)
    kind = name.partition("-")[0].rstrip("0123456789")
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced below
        classes = len(facts["labels"])
        network = models.DenseNet(num_classes=classes) if kind == "densenet" else _resnet(name)
    with _rebuildable(models):
        state = read_weights(path)
    load_weights(network, state, str(path))
    side = parameters.size or SIDES[kind]
    backbone = Backbone(
        module=Resized(DenseFeatures(network) if kind == "densenet" else network, SIDES[kind], 2),
        image_shape=(1, side, side),
        mean=(0.5,),
        std=(0.5 / LARGEST,),
        digest=weights_digest(state),
    )
    return LocalEncoder(backbone, request, parameters)


def _names(models: Any) -> list[str]:
    return sorted(name for name in models.model_urls if name.startswith(tuple(SIDES)))


def _models(name: str) -> Any:
    """TorchXRayVision's module of models."""
    try:
        from torchxrayvision import models
    except ModuleNotFoundError as error:
        raise missing_extra(name, "xrv", error) from error
    return models


def _file(encoder: str, name: str, url: str, given: str) -> Path:
    """The weights file: the user's, or the one in TorchXRayVision's folder."""
    if given:
        return expanded(given)
    path = expanded(FOLDER) / url.rpartition("/")[2]
    if not path.is_file():
        raise EncoderError(
            f"encoder {encoder}: {path} is missing, and nothing is downloaded when a run starts; get it "
            f'once from {url}, or with: python -c "import torchxrayvision as xrv; '
            f"xrv.models.get_model('{name}')\""
        )
    return path


def _resnet(name: str) -> nn.Module:
    """Torchvision's network for films of one channel, as TorchXRayVision uses it, unclassified."""
    import torchvision

    build = getattr(torchvision.models, name.partition("-")[0])
    network: nn.Module = build(weights=None)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    network.fc = nn.Identity()
    return network


@contextmanager
def _rebuildable(models: Any) -> Iterator[None]:
    """Lets torch's reader of tensors rebuild the modules that these files are made of."""
    own = [models.DenseNet, models._DenseBlock, models._DenseLayer, models._Transition]
    layers = (
        nn.Sequential,
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.ReLU,
        nn.MaxPool2d,
        nn.AvgPool2d,
        nn.Linear,
    )
    with torch.serialization.safe_globals([*own, *layers]):
        yield
