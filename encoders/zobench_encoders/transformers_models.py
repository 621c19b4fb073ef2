"""``hf:<model id or folder>``: any vision model of transformers that embeds images.

The model's image processor file says the size, the channels' mean and standard deviation, and the
scale of the pixels; they are applied here, so that gradients flow through them. Images are square
and whole: they are resized to the size that the network takes, and not cropped.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError

from .extras import foreign_code, missing_extra
from .hub import model_folder
from .local import Backbone, LocalEncoder, LocalParameters
from .pooling import pooled
from .resizing import Resized
from .weights_digest import weights_digest

PROCESSOR = "preprocessor_config.json"
ALIKE = 1e-4
"""Relative difference of pixels that counts as rounding."""
POOLER = "pooler"
NOISE = "noise"
"""The argument by which a masked autoencoder takes the order of its patches."""
PLACES = ("_name_or_path", "transformers_version")
"""Entries of a config that change no embedding."""


@dataclass(frozen=True)
class TransformersParameters(LocalParameters):
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
        answer = output(self.model, images)
        if self._pool == POOLER:
            return pooled(answer.pooler_output)
        return pooled(answer.last_hidden_state, self._pool)


def output(model: Any, images: Tensor) -> Any:
    """The output object of the part of a model that takes images.

    A masked autoencoder shuffles the patches by random noise; it gets noise that leaves their order.
    """
    vision = getattr(model, "vision_model", model)
    if NOISE not in inspect.signature(vision.forward).parameters:
        return vision(pixel_values=images)
    patches = (vision.config.image_size // vision.config.patch_size) ** 2
    order = torch.arange(patches, dtype=images.dtype, device=images.device)
    return vision(pixel_values=images, noise=order.expand(len(images), -1))


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
    if importlib.util.find_spec("transformers") is None:  # before a model is fetched for it
        raise missing_extra(request.name, "hf", ModuleNotFoundError(name="transformers"))
    folder = model_folder(request.name, request.argument, "hf")
    with _quiet(request.name), foreign_code(request.name, "cannot be loaded"):
        model, missing = _load(request.name, folder)
        channels = _channels(request.name, model)
        processing = _processing(request.name, folder, model, channels)
        images = torch.zeros(1, channels, processing.side, processing.side)
        pool = _pool(request.name, model, missing, parameters.pool, images)
        config = {key: value for key, value in model.config.to_dict().items() if key not in PLACES}
        digest = weights_digest(model.state_dict(), processing, pool, repr(config))
    side = parameters.size or processing.side
    backbone = Backbone(
        module=Resized(Embedder(model, pool), processing.side, processing.resample),
        image_shape=(channels, side, side),
        mean=processing.mean,
        std=processing.std,
        digest=digest,
    )
    return LocalEncoder(backbone, request, parameters)


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
    """The model, and the names of its weights that the folder lacks; no code of the folder is run."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if hasattr(config, "mask_ratio"):
        config.mask_ratio = 0.0  # a masked autoencoder hides patches unless told not to
    with torch.random.fork_rng(devices=[]):
        model, facts = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    missing = {str(key) for key in facts["missing_keys"]}
    lost = sorted(name for name in missing if POOLER not in name)
    if lost or facts["mismatched_keys"]:
        raise ConfigError(
            f"encoder {name}: {folder} lacks {len(lost)} of the model's weights, such as "
            f"{', '.join(lost[:3])}"
        )
    return model.eval(), missing


def _vision_config(model: Any) -> Any:
    return getattr(model.config, "vision_config", model.config)


def _channels(name: str, model: Any) -> int:
    channels = getattr(_vision_config(model), "num_channels", None)
    if channels is None:
        raise ConfigError(f"encoder {name}: {type(model).__name__} is no model that embeds images")
    return int(channels)


def _processing(name: str, folder: Path, model: Any, channels: int) -> Processing:
    """Size and normalisation from the image processor file.

    Raises:
        ConfigError: There is no such file, or its values fit no square images of these channels.
    """
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(
            f"encoder {name}: {folder} has no readable {PROCESSOR}, which says the size and the "
            "normalisation of the images; save the model's image processor into the folder"
        ) from error
    white = 255 * float(processor.rescale_factor) if processor.do_rescale else 255.0
    mean, std = (0.0,) * channels, (1.0,) * channels
    if processor.do_normalize:
        mean, std = (
            _numbers(f"{folder / PROCESSOR}: {key}", getattr(processor, key), channels)
            for key in ("image_mean", "image_std")
        )
    if min(std) <= 0:
        raise ConfigError(f"{folder / PROCESSOR}: image_std is {std}, but must be above 0")
    side = _side(processor) or getattr(_vision_config(model), "image_size", 0)
    if isinstance(side, tuple | list):
        side = side[0] if len(set(side)) == 1 else 0
    if not side:
        raise ConfigError(f"encoder {name}: {folder / PROCESSOR} names no square size of images")
    processing = Processing(
        side=int(side),
        mean=tuple(level / white for level in mean),
        std=tuple(level / white for level in std),
        resample=int(processor.resample or 3),
    )
    _require_alike(folder, processor, processing)
    return processing


def _require_alike(folder: Path, processor: Any, processing: Processing) -> None:
    """Refuses a processor that does more with pixels than to rescale and to normalise them.

    Raises:
        ConfigError: Of an image in its own size, the processor makes something else.
    """
    shape = (processing.side, processing.side, len(processing.mean))
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    unfit = (
        f"{folder / PROCESSOR}: {type(processor).__name__} does more with pixels than to rescale and to "
        "normalise them, such as to turn the order of the channels or to pad; zobench does not do what "
        "the model was trained with"
    )
    try:
        made = processor(
            levels,
            do_resize=False,
            do_center_crop=False,
            input_data_format="channels_last",
            return_tensors="np",
        )
        seen = np.asarray(made["pixel_values"])
    except Exception as error:  # processors check their images and settings in many ways
        raise ConfigError(f"{unfit} ({type(error).__name__}: {error})") from error
    wanted = np.moveaxis(
        (levels / 255 - np.array(processing.mean)) / np.array(processing.std), 2, 0
    )[None]
    alike = seen.shape == wanted.shape
    if not alike or np.abs(seen - wanted).max() > ALIKE * np.abs(wanted).max():
        raise ConfigError(unfit)


def _numbers(where: str, values: Any, channels: int) -> tuple[float, ...]:
    """One number a channel."""
    numbers = [values] if isinstance(values, int | float) else list(values or ())
    if len(numbers) not in (1, channels):
        raise ConfigError(f"{where} is {values!r}, but must be {channels} numbers, one a channel")
    return tuple(map(float, numbers)) * (channels // len(numbers))


def _side(processor: Any) -> int:
    """The side of the images after the processor's last step; 0 where it does not resize.

    Raises:
        ConfigError: The images are not square.
    """
    size = None
    if getattr(processor, "do_center_crop", False):
        size = processor.crop_size
    elif processor.do_resize:
        size = processor.size
    if size is None:
        return 0
    if size.height and size.width and size.height != size.width:
        raise ConfigError(
            f"{PROCESSOR} asks for {size.height}x{size.width} pixels, but an encoder takes square images"
        )
    return int(size.height or size.shortest_edge or 0)


def _pool(name: str, model: Any, missing: set[str], asked: str, images: Tensor) -> str:
    """The pooling: what was asked for, or the first that the model has.

    Raises:
        ConfigError: The model has no pooler, or the folder lacks the pooler's weights.
    """
    if asked == "auto" and hasattr(model, "get_image_features"):
        return "features"
    with torch.inference_mode():
        answer = output(model, images)
    if asked in ("mean", "cls"):
        return asked
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
    tensor: Tensor = answer if isinstance(answer, Tensor) else answer.pooler_output
    return tensor
