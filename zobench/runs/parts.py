"""From a config to the parts it names: encoder, dataset, split, space, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zobench.billing.account import PaidEncoder
from zobench.config import RunConfig, cache_folder
from zobench.contracts.dataset import Dataset, DatasetRequest
from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.errors import ConfigError, PluginError
from zobench.oracle.ledger import Ledger
from zobench.contracts.optimizer import Optimizer, OptimizerContext, require_ask
from zobench.contracts.parameters import essential, resolve
from zobench.registry.discovery import Registry
from zobench.contracts.listener import Listener
from zobench.problem.spaces import Space, make_space
from zobench.problem.split import Split, SplitParameters, make_split
from zobench.contracts.random_streams import generator
from zobench.problem.quantization import Rounded

Settings = Mapping[str, str | int]


@dataclass(frozen=True)
class Parts:
    """Everything that a config names, made.

    Attributes:
        parameters: By owner, those that can change the result, defaults included.
        plugins: Distribution of each plugin, by owner.
    """

    encoder: Encoder
    dataset: Dataset
    split: Split
    space: Space
    optimizer: Optimizer
    parameters: Mapping[str, Mapping[str, Any]]
    plugins: Mapping[str, str]


def make_encoder(
    config: RunConfig, registry: Registry, settings: Settings | None = None
) -> Encoder:
    """The encoder that a config names; ``settings`` are those of the run that is resumed."""
    offer, argument = registry.find("encoders", config.encoder)
    request = EncoderRequest(
        name=config.encoder,
        argument=argument,
        device=config.device,
        precision=config.precision,
        cache=cache_folder(),
        settings=settings or {},
    )
    encoder: Encoder = offer.plugin.make(request, config.overrides.get("encoder", {}), "encoder")
    try:
        _check_payment(config, encoder)
    except ConfigError:
        encoder.close()
        raise
    return Rounded(encoder) if config.quantize else encoder


def _check_payment(config: RunConfig, encoder: Encoder) -> None:
    paid = isinstance(encoder, PaidEncoder)
    if config.quantize and paid:
        raise ConfigError(
            f"quantize is {config.quantize}, but encoder {config.encoder!r} is a service, which rounds "
            "or does not; quantize is for encoders that run here"
        )
    if config.max_cost and not (paid and encoder.spec.price):
        raise ConfigError(
            f"max_cost is {config.max_cost:g}, but encoder {config.encoder!r} has no price; "
            + ("give one: --set encoder.price=0.0001" if paid else "nobody bills it")
        )


def make_dataset(config: RunConfig, registry: Registry, size: int) -> Dataset:
    """The dataset that a config names, for images of ``size`` pixels a side."""
    offer, argument = registry.find("datasets", config.dataset)
    root = Path(config.data_root) if config.data_root is not None else None
    request = DatasetRequest(config.disease, root, size, cache_folder(), argument)
    dataset: Dataset = offer.plugin.make(request, config.overrides.get("dataset", {}), "dataset")
    return dataset


def make_optimizer(config: RunConfig, registry: Registry, space: Space) -> Optimizer:
    """The optimizer that a config names, at its beginning."""
    offer, argument = registry.find("optimizers", config.optimizer)
    context = OptimizerContext(
        space=space,
        rng=generator(config.seed, "optimizer"),
        budget=config.budget,
        batch_size=config.batch_size,
        argument=argument,
    )
    overrides = config.overrides.get("optimizer", {})
    optimizer: Optimizer = offer.plugin.make(context, overrides, "optimizer")
    return optimizer


def make_parts(
    config: RunConfig, registry: Registry, listener: Listener, settings: Settings | None = None
) -> Parts:
    """Makes everything that a config names; nothing is embedded yet.

    Args:
        config: What to make.
        registry: Where names are looked up.
        listener: Told what takes long.
        settings: Those of the encoder of a run that is resumed.

    Raises:
        ConfigError: A name or a parameter is wrong, or parts do not fit together.
        DatasetError: The dataset is.
    """
    resolved(config, registry)  # what can be said before anything is loaded
    listener.phase("load the encoder", 0)
    encoder = make_encoder(config, registry, settings)
    try:
        for note in encoder.spec.notes:
            listener.note(note)

        def dataset(size: int) -> Dataset:
            listener.phase("read the dataset", 0)
            return make_dataset(config, registry, size)

        return fit_parts(config, registry, encoder, dataset)
    except BaseException:
        encoder.close()
        raise


def fit_parts(
    config: RunConfig, registry: Registry, encoder: Encoder, dataset_of: Callable[[int], Dataset]
) -> Parts:
    """Puts an encoder and a dataset together with the rest of what a config names.

    Args:
        config: What to make.
        registry: Where names are looked up.
        encoder: The one that the config names.
        dataset_of: Gives the dataset for images of so many pixels a side; the last to be made, for
            it may take longest.

    Raises:
        ConfigError: A name or a parameter is wrong, or parts do not fit together.
        DatasetError: The dataset is.
    """
    parameters = resolved(config, registry)
    shape = encoder.spec.image_shape
    space = make_space(config.space, shape, config.box)
    optimizer = make_optimizer(config, registry, space)
    _check_optimizer(config, registry, space, encoder)
    dataset = dataset_of(shape[1])
    if dataset.spec.shape[1:] != shape[1:] or dataset.spec.shape[0] not in (1, shape[0]):
        raise PluginError(
            f"dataset {config.dataset!r} gives images of shape {dataset.spec.shape}, but encoder "
            f"{config.encoder!r} takes {shape}"
        )
    split_parameters = SplitParameters(**parameters["split"])
    split = make_split(dataset, split_parameters, generator(config.seed, "split"))
    if config.batch_size > len(split.train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(split.train)} images "
            "to train on"
        )
    plugins = {
        "optimizer": registry.find("optimizers", config.optimizer)[0].distribution,
        "encoder": registry.find("encoders", config.encoder)[0].distribution,
        "dataset": registry.find("datasets", config.dataset)[0].distribution,
    }
    return Parts(encoder, dataset, split, space, optimizer, parameters, plugins)


def resolved(config: RunConfig, registry: Registry) -> dict[str, dict[str, Any]]:
    """Parameters that can change the result, by owner, defaults included.

    Every name and every override is checked, those that cannot change it, too.

    Raises:
        ConfigError: A plugin or a parameter is unknown, or a value breaks its rule.
    """
    found = {
        owner: resolved_part(owner, name, config.overrides.get(owner, {}), registry)
        for owner, name in (
            ("optimizer", config.optimizer),
            ("encoder", config.encoder),
            ("dataset", config.dataset),
        )
    }
    split = resolve(SplitParameters, config.overrides.get("split", {}), "split")
    return {**found, "split": essential(split)}


def resolved_part(
    owner: str, name: str, overrides: Mapping[str, Any], registry: Registry
) -> dict[str, Any]:
    """:func:`resolved` of one optimizer, encoder or dataset."""
    offer, _ = registry.find(f"{owner}s", name)  # type: ignore[arg-type]
    try:
        return essential(resolve(offer.plugin.parameters(), overrides, owner))
    except PluginError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _check_optimizer(config: RunConfig, registry: Registry, space: Space, encoder: Encoder) -> None:
    """Prices the first batch of a throw-away twin, before anything is spent."""
    twin = make_optimizer(config, registry, space)
    if twin.feedback == "gradient" and not encoder.spec.differentiable:
        raise ConfigError(
            f"optimizer {config.optimizer!r} needs gradients, which encoder {config.encoder!r} "
            "does not give; choose a black-box optimizer"
        )
    ask = require_ask(twin.ask())
    images = int(np.prod(ask.points.shape[:1])) * config.batch_size
    price = Ledger(config.backward_cost).price(images, gradient=ask.want == "gradient")
    if price > config.budget:
        raise ConfigError(
            f"budget is {config.budget}, but the first batch of optimizer {config.optimizer!r} "
            f"costs {price} queries; give at least that"
        )
