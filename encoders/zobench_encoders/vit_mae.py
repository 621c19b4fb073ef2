"""``vit-mae``: the bundled encoder; weights in the wheel, nothing to download."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import torch

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, EncoderError

from .architecture import IMAGE_SIZE, PIXEL_MEAN, PIXEL_STD, CompactViT
from .checkpoints import load_weights, read_weights
from .local import Backbone, LocalEncoder
from .weights_digest import weights_digest

WEIGHTS = "vit-mae.safetensors"
WEIGHTS_DIGEST = "cfe7bbd23d336151"
"""Digest of the bundled weights; change it with them."""


@dataclass(frozen=True)
class VitMaeParameters:
    """Settings of ``vit-mae``: the weights file and the chunk size."""

    weights: str = parameter(
        "", "a file that zobench pretrain made; the bundled weights if empty", incidental=True
    )
    chunk: int = parameter(
        0, "images a forward pass; 0 measures the best once", low=0, high=65_536, incidental=True
    )


def vit_mae(request: EncoderRequest, parameters: VitMaeParameters) -> LocalEncoder:
    """The compact vision transformer with the weights that ``zobench pretrain`` makes.

    Raises:
        ConfigError: ``weights`` names no weights file, or weights of another encoder.
        EncoderError: The bundled weights are damaged.
    """
    if parameters.weights:
        named = Path(parameters.weights).expanduser()
        state, source = read_weights(named), str(named)
    else:
        state, source = _bundled(), WEIGHTS
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced below
        model = CompactViT()
    load_weights(model, state, source)
    shape = (1, IMAGE_SIZE, IMAGE_SIZE)
    backbone = Backbone(model, shape, PIXEL_MEAN, PIXEL_STD, weights_digest(state))
    return LocalEncoder(backbone, request, parameters.chunk)


def _bundled() -> dict[str, torch.Tensor]:
    with as_file(files("zobench_encoders") / "weights" / WEIGHTS) as path:
        try:
            state = read_weights(path)
            whole = weights_digest(state) == WEIGHTS_DIGEST
        except ConfigError:
            whole = False
        if not whole:
            raise EncoderError(
                f"the bundled weights {path} are damaged: reinstall zobench, with "
                "python -m pip install --force-reinstall --no-deps zobench"
            )
    return state
