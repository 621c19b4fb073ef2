"""``hf:<model id or folder>``: any vision model of transformers that embeds images.

The model's image processor file says the size, the channels' mean and standard deviation, and the
scale of the pixels; they are applied here, so that gradients flow through them. Images are square
and whole: they are resized to the size that the network takes, and not cropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError

from .extras import missing_extra
from .hub import model_folder
from .local import Backbone, LocalEncoder
from .pooling import pooled
from .resizing import Resized
from .weights_digest import weights_digest

PROCESSOR = "preprocessor_config.json"
POOLER = "pooler"


@dataclass(frozen=True)
class TransformersParameters:
    """Settings of ``hf:<model>``: the pooling, and the size of the images."""

    pool: str = parameter(
        "auto",
        "auto: image features, else the pooler, else the mean; or one of them",
        choices=("auto", "cls", "mean", POOLER),
    )
    size: int = parameter(
        0,
        "side of the images in pixels, which are resized to the model's; 0 takes the model's",
        low=0,
        high=4096,
    )
    chunk: int = parameter(
        0, "images a forward pass; 0 measures the best once", low=0, high=65_536, incidental=True
    )


class Embedder(nn.Module):
    """A model's embedding of images.

    Args:
        model: A model of transformers.
        pool: ``features`` calls ``get_image_features``; the others read the model's output.
    """

    def __init__(self, model: nn.Module, pool: str) -> None:
        super().__init__()
        self.model, self._pool = model, pool

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of normalised images ``(N, C, H, W)``."""
        if self._pool == "features":
            return _tensor(self.model.get_image_features(pixel_values=images))  # type: ignore[operator]
        answer = _vision(self.model)(pixel_values=images)
        if self._pool == POOLER:
            return pooled(answer.pooler_output)
        return pooled(answer.last_hidden_state, self._pool)


@dataclass(frozen=True)
class Processing:
    """What an image processor file says.

    Attributes:
        side: Pixels per side that the network takes.
        mean: Mean of each channel, in units of [0, 1].
        std: Standard deviation of each channel.
        resample: Pillow's number of the resizing filter.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: int


def transformers_model(request: EncoderRequest, parameters: TransformersParameters) -> LocalEncoder:
    """A vision model of transformers, from a folder or from the hub's cache.

    Raises:
        ConfigError: The folder holds no such model, or the pooling does not fit it.
        EncoderError: The hub's cache does not hold the model.
    """
    folder = model_folder(request.name, request.argument, "hf")
    with _quiet(request.name):
        model, missing = _load(request.name, folder)
        processing = _processing(request.name, folder, model)
    channels = int(_vision_config(model).num_channels)
    module = Embedder(
        model, _pool(request.name, model, missing, parameters.pool, processing, channels)
    )
    side = parameters.size or processing.side
    backbone = Backbone(
        module=Resized(module, processing.side, processing.resample),
        image_shape=(channels, side, side),
        mean=processing.mean,
        std=processing.std,
        digest=weights_digest(model.state_dict()),
    )
    return LocalEncoder(backbone, request, parameters.chunk)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Leaves out the progress bars and the advice of transformers.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise missing_extra(name, "hf", error) from error
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _load(name: str, folder: Path) -> tuple[Any, set[str]]:
    """The model, and the names of its weights that the folder lacks."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = (
                0.0  # a masked autoencoder hides patches at random unless told not to
            )
        with torch.random.fork_rng(devices=[]):
            model, facts = AutoModel.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        words = str(error).strip().partition("\n")[0]
        raise ConfigError(f"encoder {name}: {folder} cannot be loaded: {words}") from error
    missing = {str(each) for each in facts["missing_keys"]}
    lost = sorted(each for each in missing if POOLER not in each)
    if lost or facts["mismatched_keys"]:
        raise ConfigError(
            f"encoder {name}: {folder} lacks {len(lost)} of the model's weights, such as "
            f"{', '.join(lost[:3])}"
        )
    return model, missing


def _vision(model: Any) -> Any:
    """The part of a model that takes images."""
    return getattr(model, "vision_model", model)


def _vision_config(model: Any) -> Any:
    return getattr(model.config, "vision_config", model.config)


def _processing(name: str, folder: Path, model: Any) -> Processing:
    """Size and normalisation from the image processor file.

    Raises:
        ConfigError: There is no such file, or it asks for images that are not square.
    """
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(
            f"encoder {name}: {folder} has no readable {PROCESSOR}, which says the size and the "
            "normalisation of the images; save the model's image processor into the folder"
        ) from error
    channels = int(_vision_config(model).num_channels)
    side = _side(processor) or getattr(_vision_config(model), "image_size", 0)
    if isinstance(side, tuple | list):
        side = side[0] if len(set(side)) == 1 else 0
    if not side:
        raise ConfigError(f"encoder {name}: {folder}/{PROCESSOR} names no square size of images")
    white = 255 * float(processor.rescale_factor) if processor.do_rescale else 255.0
    normalises = bool(processor.do_normalize)
    mean = tuple(processor.image_mean) if normalises else (0.0,) * channels
    std = tuple(processor.image_std) if normalises else (1.0,) * channels
    return Processing(
        side=int(side),
        mean=tuple(each / white for each in mean),
        std=tuple(each / white for each in std),
        resample=int(processor.resample or 3),
    )


def _side(processor: Any) -> int:
    """The side of the images after the processor's last step; 0 where it does not resize."""
    size = None
    if getattr(processor, "do_center_crop", False):
        size = processor.crop_size
    elif processor.do_resize:
        size = processor.size
    if size is None:
        return 0
    if size.height and size.height == size.width:
        return int(size.height)
    return int(size.shortest_edge or 0)


def _pool(
    name: str, model: Any, missing: set[str], asked: str, processing: Processing, channels: int
) -> str:
    """The pooling: what was asked for, or the first that the model has.

    Raises:
        ConfigError: The model has no pooler, or the folder lacks the pooler's weights.
    """
    if asked == "auto" and hasattr(model, "get_image_features"):
        return "features"
    if asked in ("mean", "cls"):
        return asked
    with torch.inference_mode():
        images = torch.zeros(1, channels, processing.side, processing.side)
        answer = _vision(model.eval())(pixel_values=images)
    trained = getattr(answer, "pooler_output", None) is not None and not missing
    if not trained and asked == POOLER:
        why = "the folder has no weights for it" if missing else "the model has none"
        raise ConfigError(
            f"encoder.pool is 'pooler', but {why}; use --set encoder.pool=mean or cls"
        )
    if not trained and getattr(answer, "last_hidden_state", None) is None:
        raise ConfigError(f"encoder {name}: {type(model).__name__} is no model that embeds images")
    return POOLER if trained else "mean"


def _tensor(answer: Any) -> Tensor:
    """The features themselves, which some versions of transformers return in an output object."""
    found: Tensor = answer if isinstance(answer, Tensor) else answer.pooler_output
    return found
