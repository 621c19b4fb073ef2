"""``open_clip:<model>``: the image tower of an open_clip model.

The argument is a folder with ``open_clip_config.json`` and weights, a model id that the hub's cache
holds, or the name of an architecture, whose weights are then a file or random. Only the image tower
is built: a text tower may need models of its own, which nothing here uses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError
from zobench.paths import expanded

from .checkpoints import load_weights, read_weights
from .extras import foreign_code, missing_extra
from .hub import model_folder
from .local import Backbone, LocalEncoder, LocalParameters
from .resizing import Resized
from .weights_digest import weights_digest

RANDOM = "random"
HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
"""Names of the weights file in a folder; the first one that is there is read."""
TOWER = "visual."
NO_TEXT = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
"""A text tower that is built beside the image tower, and thrown away."""
BILINEAR, BICUBIC = 2, 3


@dataclass(frozen=True)
class OpenClipParameters(LocalParameters):
    """Settings of ``open_clip:<model>``: weights of an architecture, and the size of the images."""

    weights: str = parameter(
        RANDOM, "of an architecture: 'random', or a file; a folder or a model id brings its own"
    )
    seed: int = parameter(0, "seed of random weights", low=0, high=4_294_967_295)
    size: int = parameter(
        0,
        "side of the images in pixels, which are resized to the model's; 0 takes the model's",
        low=0,
        high=4096,
    )


class ImageTower(nn.Module):
    """The image embedding of a contrastive model, not divided by its length."""

    def __init__(self, visual: nn.Module) -> None:
        """Keeps the tower."""
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of normalised images."""
        answer: Tensor = self.visual(images)
        return answer


@dataclass(frozen=True)
class Description:
    """What is known of a model before it is built.

    Attributes:
        model: The model's config: sizes of the towers.
        preprocess: Mean, deviation and filter; empty for an architecture.
        weights: The weights file; ``None`` for random weights.
    """

    model: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    weights: Path | None


def open_clip_model(request: EncoderRequest, parameters: OpenClipParameters) -> LocalEncoder:
    """The image tower of an open_clip model.

    Raises:
        ConfigError: There is no such architecture, folder or file, or a package is missing.
        EncoderError: The hub's cache does not hold the model.
    """
    before = dict(os.environ)
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise missing_extra(request.name, "open-clip", error) from error
    for name in set(os.environ) - set(before):
        del os.environ[name]  # it sets a variable of tokenizers, which nothing here uses
    described = _described(open_clip, request, parameters)
    with foreign_code(request.name, "cannot be built"):
        visual = _image_tower(open_clip, described.model, parameters.seed)
        side = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
        mean = tuple(map(float, described.preprocess.get("mean", open_clip.OPENAI_DATASET_MEAN)))
        std = tuple(map(float, described.preprocess.get("std", open_clip.OPENAI_DATASET_STD)))
    notes: tuple[str, ...] = ()
    if described.weights is None:
        notes = (
            f"{request.name} has RANDOM weights (seed {parameters.seed}): results say nothing about "
            "trained encoders; give --set encoder.weights=FILE, or a folder as open_clip:FOLDER",
        )
    else:
        state = read_weights(described.weights)
        tower = {
            name.removeprefix(TOWER): value
            for name, value in state.items()
            if name.startswith(TOWER)
        }
        load_weights(visual, tower, str(described.weights))
    resample = BILINEAR if described.preprocess.get("interpolation") == "bilinear" else BICUBIC
    shown = parameters.size or side
    backbone = Backbone(
        module=Resized(ImageTower(visual), side, resample),
        image_shape=(3, shown, shown),
        mean=mean,
        std=std,
        digest=weights_digest(
            visual.state_dict(), json.dumps(described.model, sort_keys=True), mean, std, resample
        ),
        notes=notes,
    )
    return LocalEncoder(backbone, request, parameters)


def _described(
    open_clip: Any, request: EncoderRequest, parameters: OpenClipParameters
) -> Description:
    """The config and the weights file of a model."""
    name = request.argument.removeprefix(HUB)
    architectures = open_clip.list_models()
    if name in architectures:
        given = parameters.weights
        weights = None if given == RANDOM else expanded(given)
        return Description(open_clip.get_model_config(name), {}, weights)
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(
            f"open_clip has no model {name!r}{nearest(name, architectures)}, and there is no such folder"
        )
    folder = model_folder(request.name, name, "open-clip")
    weights = next((folder / weight for weight in WEIGHTS if (folder / weight).is_file()), None)
    if weights is None:
        raise ConfigError(
            f"encoder {request.name}: {folder} holds no weights; one of "
            f"{', '.join(WEIGHTS)} must be there"
        )
    try:
        facts = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return Description(dict(facts["model_cfg"]), dict(facts.get("preprocess_cfg", {})), weights)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"encoder {request.name}: {folder / CONFIG} is no readable config: {error!r}"
        ) from error


def _image_tower(open_clip: Any, config: Mapping[str, Any], seed: int) -> Any:
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}  # else timm would download
    options = {name: config[name] for name in ("quick_gelu",) if name in config}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.CLIP(config["embed_dim"], vision, NO_TEXT, **options).visual
