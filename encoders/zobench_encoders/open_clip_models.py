"""``open_clip:<model>``: the image tower of an open_clip model.

The argument is a folder with ``open_clip_config.json`` and weights, a model id that the hub's cache
holds, or the name of an architecture, whose weights are then a file or random.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError

from .checkpoints import load_weights, read_weights
from .extras import missing_extra
from .hub import model_folder
from .local import Backbone, LocalEncoder
from .resizing import Resized
from .weights_digest import weights_digest

RANDOM = "random"
LOCAL, HUB = "local-dir:", "hf-hub:"


@dataclass(frozen=True)
class OpenClipParameters:
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
    chunk: int = parameter(
        0, "images a forward pass; 0 measures the best once", low=0, high=65_536, incidental=True
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


def open_clip_model(request: EncoderRequest, parameters: OpenClipParameters) -> LocalEncoder:
    """The image tower of an open_clip model.

    Raises:
        ConfigError: There is no such architecture, folder or file, or a package is missing.
        EncoderError: The hub's cache does not hold the model.
    """
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise missing_extra(request.name, "open-clip", error) from error
    name = request.argument.removeprefix(HUB)
    architectures = open_clip.list_models()
    notes: tuple[str, ...] = ()
    if name in architectures:
        model = _made(open_clip, request.name, name, parameters.seed)
        if parameters.weights == RANDOM:
            notes = (
                f"{request.name} has RANDOM weights (seed {parameters.seed}): results say nothing about "
                "trained encoders; give --set encoder.weights=FILE, or a folder as open_clip:FOLDER",
            )
        else:
            path = Path(parameters.weights).expanduser()
            load_weights(model, read_weights(path), str(path))
    elif "/" not in name and not Path(name).is_dir():
        raise ConfigError(
            f"open_clip has no model {name!r}{nearest(name, architectures)}, and there is no such folder"
        )
    else:
        folder = model_folder(request.name, name, "open-clip")
        model = _made(open_clip, request.name, f"{LOCAL}{folder}", parameters.seed)
    visual: Any = model.visual
    side = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    shown = parameters.size or side
    backbone = Backbone(
        module=Resized(ImageTower(visual), side),
        image_shape=(3, shown, shown),
        mean=tuple(visual.image_mean or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(visual.image_std or open_clip.OPENAI_DATASET_STD),
        digest=weights_digest(visual.state_dict()),
        notes=notes,
    )
    return LocalEncoder(backbone, request, parameters.chunk)


def _made(open_clip: Any, encoder: str, name: str, seed: int) -> nn.Module:
    """The model: with a folder's weights, or with random ones, of which open_clip warns each time."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model: nn.Module = open_clip.create_model(name, load_weights=name.startswith(LOCAL))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            words = str(error).strip().partition("\n")[0]
            raise ConfigError(f"encoder {encoder} cannot be loaded: {words}") from error
        finally:
            logging.getLogger().setLevel(level)
    return model
