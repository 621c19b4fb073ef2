"""``vit-mae``: the bundled encoder; weights in the wheel, nothing to download.

``vit-mae:plain`` is the same trunk with a last layer that is not made to be edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import torch
from torch import nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import cut, nearest, parameter
from zobench.errors import ConfigError, EncoderError
from zobench.paths import expanded

from .checkpoints import load_weights, read_weights
from .local import Backbone, LocalEncoder, LocalParameters
from .weights_digest import weights_digest

if TYPE_CHECKING:
    from .architecture import CompactViT  # loads timm, which its parameters do not need

WEIGHTS = "vit-mae.safetensors"
WEIGHTS_DIGEST = "cfe7bbd23d336151"
"""Digest of the bundled weights; change it with them."""
PLAIN, PLAIN_WEIGHTS = "plain", "vit-mae-plain.safetensors"
PLAIN_DIGEST = "368f37cb3af9a592"
"""Digest of the plain last layer, which is learned for the bundled trunk."""


@dataclass(frozen=True)
class VitMaeParameters(LocalParameters):
    """Settings of ``vit-mae``: the weights file."""

    weights: str = parameter(
        "", "a file that zobench pretrain made; the bundled weights if empty", incidental=True
    )


def variants() -> list[str]:
    """The texts that may follow ``vit-mae:``."""
    return [PLAIN]


def vit_mae(request: EncoderRequest, parameters: VitMaeParameters) -> LocalEncoder:
    """The compact vision transformer with the weights that ``zobench pretrain`` makes.

    Raises:
        ConfigError: There is no such variant, or ``weights`` names no weights file, or weights of
            another encoder.
        EncoderError: The bundled weights are damaged.
    """
    if request.argument not in ("", PLAIN):
        raise ConfigError(
            f"vit-mae has no variant {cut(request.argument)}{nearest(request.argument, [PLAIN])}; there "
            f"are vit-mae and vit-mae:{PLAIN}"
        )
    if request.argument == PLAIN:
        return _plain(request, parameters)
    if parameters.weights:
        named = expanded(parameters.weights)
        model, digest = _loaded(read_weights(named), str(named))
    else:
        model, digest = bundled_trunk(), WEIGHTS_DIGEST
    return _encoder(model, digest, request, parameters)


def bundled_trunk() -> CompactViT:
    """The network with the bundled weights.

    Raises:
        EncoderError: The bundled weights are damaged.
    """
    return _loaded(_bundled(WEIGHTS, WEIGHTS_DIGEST), WEIGHTS)[0]


def _plain(request: EncoderRequest, parameters: VitMaeParameters) -> LocalEncoder:
    if parameters.weights:
        raise ConfigError(
            f"encoder.weights is {cut(parameters.weights)}, but vit-mae:{PLAIN} has a last layer for "
            "the bundled trunk only; leave encoder.weights out"
        )
    from .architecture import PlainViT

    trunk = bundled_trunk()
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced below
        model = PlainViT(trunk)
    model.summarise.load_state_dict(_bundled(PLAIN_WEIGHTS, PLAIN_DIGEST))
    return _encoder(model, f"{WEIGHTS_DIGEST}-{PLAIN_DIGEST}", request, parameters)


def _encoder(
    model: nn.Module, digest: str, request: EncoderRequest, parameters: VitMaeParameters
) -> LocalEncoder:
    from .architecture import IMAGE_SIZE, PIXEL_MEAN, PIXEL_STD

    shape = (1, IMAGE_SIZE, IMAGE_SIZE)
    return LocalEncoder(Backbone(model, shape, PIXEL_MEAN, PIXEL_STD, digest), request, parameters)


def _loaded(state: dict[str, torch.Tensor], source: str) -> tuple[CompactViT, str]:
    """The network with these weights, and their digest."""
    from .architecture import CompactViT

    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced below
        model = CompactViT()
    load_weights(model, state, source)
    return model, weights_digest(state)


def _bundled(name: str, digest: str) -> dict[str, torch.Tensor]:
    """The tensors of a bundled file.

    Raises:
        EncoderError: The file is damaged.
    """
    with as_file(files("zobench_encoders") / "weights" / name) as path:
        try:
            state = read_weights(path)
            whole = weights_digest(state) == digest
        except ConfigError:
            whole = False
        if not whole:
            raise EncoderError(
                f"the bundled weights {path} are damaged: reinstall zobench, with "
                "python -m pip install --force-reinstall --no-deps zobench"
            )
    return state
