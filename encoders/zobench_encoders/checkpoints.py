"""Reads weights from a ``.safetensors`` file, or from a ``.pth`` file without running its code.

The supported layouts are plain state dicts, ``{"model": ...}`` (MAE and Medical_MAE) and
``{"state_dict": ...}``. Tensors that only pre-training needs are dropped, and position embeddings
are resized.
"""

from __future__ import annotations

import argparse
import math
import pickle
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zobench.errors import ConfigError

WRAPPERS = ("model", "state_dict")
NOT_FOR_EMBEDDING = ("decoder", "mask_token", "head", "fc.", "classifier")
"""Beginnings of names that only pre-training or a classifier needs."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, without wrappers and ``module.`` prefixes.

    Raises:
        ConfigError: The file is missing, damaged, of another kind, or unsafe to read.
    """
    if not path.is_file():
        raise ConfigError(f"encoder.weights is {str(path)!r}, which is not a file")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # MAE keeps its arguments
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"{path} holds more than tensors, and reading that could run foreign code; convert it to "
            ".safetensors where you trust it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, struct.error) as error:
        raise ConfigError(f"{path} is not a readable weights file: {error}") from error
    if isinstance(content, nn.Module):  # of classes that the caller allows
        content = content.state_dict()
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(f"{path} holds no weights: expected tensors by name, or {WRAPPERS}")
    return {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}


def load_weights(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Loads weights into a module, without tensors that only pre-training or a classifier needs.

    Raises:
        ConfigError: A tensor is missing, unknown to the module, or of the wrong shape.
    """
    wanted = module.state_dict()
    state = {
        name: value
        for name, value in state.items()
        if name in wanted or not name.startswith(NOT_FOR_EMBEDDING)
    }
    if "pos_embed" in state and "pos_embed" in wanted:
        state["pos_embed"] = _resized_positions(module, state["pos_embed"], wanted["pos_embed"])
    for name, value in wanted.items():
        if name not in state:
            raise ConfigError(
                f"{source} has no {name!r}, which this model needs: the wrong architecture?"
            )
        if state[name].shape != value.shape:
            raise ConfigError(
                f"{source}: {name!r} has shape {tuple(state[name].shape)}, but this model needs "
                f"{tuple(value.shape)}; choose the model, encoder.size and encoder.channels that the "
                "weights were trained with"
            )
    extra = sorted(set(state) - set(wanted))
    if extra:
        raise ConfigError(f"{source} has weights that this model does not: {', '.join(extra[:3])}")
    module.load_state_dict(state)


def _resized_positions(module: nn.Module, positions: Tensor, wanted: Tensor) -> Tensor:
    """Interpolates the position embeddings of patches to the model's grid; class tokens stay."""
    if (
        positions.ndim != 3
        or positions.shape[-1] != wanted.shape[-1]
        or positions.shape == wanted.shape
    ):
        return positions
    prefix = int(getattr(module, "num_prefix_tokens", 0))
    if math.isqrt(positions.shape[1] - prefix) ** 2 != positions.shape[1] - prefix:
        return positions  # the patches form no square grid: ``load_weights`` refuses the shape
    from timm.layers.pos_embed import resample_abs_pos_embed  # timm takes seconds to load

    grid = list(getattr(module, "patch_embed").grid_size)  # noqa: B009 - not in nn.Module's type
    resized: Tensor = resample_abs_pos_embed(positions, new_size=grid, num_prefix_tokens=prefix)
    return resized
