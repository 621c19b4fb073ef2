"""``vit-mae``: the bundled encoder; weights in the wheel, nothing to download."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import torch
from safetensors.torch import load_file

from zobench.encoders import EncoderRequest
from zobench.parameters import parameter

from .architecture import IMAGE_SIZE, PIXEL_MEAN, PIXEL_STD, CompactViT
from .local import Backbone, LocalEncoder
from .weights_digest import weights_digest

WEIGHTS = "vit-mae.safetensors"


@dataclass(frozen=True)
class VitMaeParameters:
    """How the bundled encoder runs."""

    chunk: int = parameter(
        0, "images a forward pass; 0 measures the best once", low=0, incidental=True
    )


def vit_mae(request: EncoderRequest, parameters: VitMaeParameters) -> LocalEncoder:
    """The compact vision transformer with the weights that ``zobench pretrain`` makes."""
    with as_file(files("zobench_encoders") / "weights" / WEIGHTS) as path:
        state = load_file(path)
    with torch.random.fork_rng(devices=[]):  # its initial weights are drawn, then replaced
        model = CompactViT()
    model.load_state_dict(state)
    shape = (1, IMAGE_SIZE, IMAGE_SIZE)
    backbone = Backbone(model, shape, PIXEL_MEAN, PIXEL_STD, weights_digest(state))
    return LocalEncoder(backbone, request, parameters.chunk)
