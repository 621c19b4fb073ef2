"""``timm:<model>``: any model of timm, at any input size and channel count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError, EncoderError
from zobench.paths import expanded

from .checkpoints import load_weights, read_weights
from .local import Backbone, LocalEncoder, LocalParameters, standard_normalisation
from .weights_digest import weights_digest

RANDOM, HUB = "random", "hub"


@dataclass(frozen=True)
class TimmParameters(LocalParameters):
    """Settings of ``timm:<model>``: its weights, and the form of the images that it receives."""

    weights: str = parameter(
        RANDOM, "'random', 'hub' (timm's hub, needs a network), or a .safetensors or .pth file"
    )
    seed: int = parameter(0, "seed of random weights", low=0, high=4_294_967_295)
    size: int = parameter(0, "input side in pixels; 0 takes the model's own", low=0, high=4096)
    channels: int = parameter(3, "input channels; films are repeated", low=1, high=16)
    pool: str = parameter(
        "auto",
        "'auto' takes the model's own pooling; 'avg' the mean over patch tokens, no class token",
        choices=("auto", "avg"),
    )


def timm_model(request: EncoderRequest, parameters: TimmParameters) -> LocalEncoder:
    """A timm model without its classifier.

    Raises:
        ConfigError: timm has no such model, or the weights do not fit the model.
        EncoderError: The hub cannot be reached.
    """
    model = _make(request.argument, parameters)
    notes: tuple[str, ...] = ()
    if parameters.weights == RANDOM:
        notes = (
            f"{request.name} has RANDOM weights (seed {parameters.seed}): results say nothing about "
            "trained encoders; give --set encoder.weights=FILE or =hub",
        )
    elif parameters.weights != HUB:
        path = expanded(parameters.weights)
        load_weights(model, read_weights(path), str(path))
    data: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    size = parameters.size or int(data["input_size"][-1])
    channels = parameters.channels
    backbone = Backbone(
        module=model,
        image_shape=(channels, size, size),
        mean=standard_normalisation(data["mean"], channels),
        std=standard_normalisation(data["std"], channels),
        digest=weights_digest(model.state_dict()),
        notes=notes,
    )
    return LocalEncoder(backbone, request, parameters)


def _make(name: str, parameters: TimmParameters) -> nn.Module:
    """The model, with timm's weights if ``weights`` is ``hub``, else with random weights.

    Raises:
        ConfigError: timm does not know the name, or the model does not take these options.
        EncoderError: The hub cannot be reached.
    """
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise ConfigError(f"timm has no model {base!r}{nearest(base, timm.list_models())}")
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        names = timm.list_pretrained(f"{base}.*")
        raise ConfigError(f"timm has no weights {name!r}{nearest(name, names)}")
    options: dict[str, Any] = {"num_classes": 0, "in_chans": parameters.channels}
    if parameters.size and _takes_size(base):
        options["img_size"] = parameters.size
    if parameters.pool == "avg":
        options |= {"global_pool": "avg", "fc_norm": False}
    hub = parameters.weights == HUB
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(parameters.seed)
        try:
            model: nn.Module = timm.create_model(name, pretrained=hub, **options)
        except (OSError, RuntimeError) as error:
            if not hub:
                raise ConfigError(f"timm:{name} cannot be made: {error}") from error
            raise EncoderError(
                f"the weights of timm:{name} cannot be fetched from timm's hub "
                f"({type(error).__name__}); without a network give --set encoder.weights=FILE, or "
                "=random for random weights"
            ) from error
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"timm:{name} does not take encoder.pool={parameters.pool} and "
                f"encoder.size={parameters.size}: {error}"
            ) from error
    return model


def _takes_size(name: str) -> bool:
    """Whether a model is built for one input size; convolutional ones take any."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(config is not None and config.fixed_input_size)
