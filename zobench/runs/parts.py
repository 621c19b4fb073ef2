"""From a config to the parts that it names: encoder, dataset, split, space, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zobench.billing.account import PaidEncoder
from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset, DatasetRequest
from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.contracts.listener import Listener
from zobench.contracts.optimizer import Optimizer, OptimizerContext, require_ask
from zobench.contracts.parameters import essential, resolve
from zobench.contracts.random_streams import generator
from zobench.contracts.space import Space
from zobench.errors import ConfigError, PluginError
from zobench.oracle.ledger import Ledger
from zobench.paths import cache_folder
from zobench.problem.quantization import RoundedEncoder
from zobench.problem.spaces import make_space
from zobench.problem.split import Split, SplitParameters, make_split
from zobench.registry.discovery import Kind, Offer, Registry

Settings = Mapping[str, str | int]
"""``EncoderSpec.settings`` of the run that is resumed."""

KINDS: Mapping[str, Kind] = {
    "optimizer": "optimizers",
    "encoder": "encoders",
    "dataset": "datasets",
}
"""The kind of plugin that each owner of parameters is."""


@dataclass(frozen=True)
class ResolvedPlugin:
    """A plugin that a config names, looked up, with its checked parameters.

    Attributes:
        offer: The plugin and its distribution.
        argument: The text after the colon of its name.
        parameters: An instance of its dataclass of parameters.
    """

    offer: Offer
    argument: str
    parameters: Any

    def build(self, context: object) -> Any:
        """Makes the plugin's object."""
        return self.offer.plugin.build(context, self.parameters)


@dataclass(frozen=True)
class ResolvedConfig:
    """A config whose names are looked up and whose parameters are checked; nothing is made yet.

    Attributes:
        config: The request.
        optimizer: The optimizer's plugin.
        encoder: The encoder's plugin.
        dataset: The dataset's plugin.
        split: Sizes and bias of the split.
    """

    config: RunConfig
    optimizer: ResolvedPlugin
    encoder: ResolvedPlugin
    dataset: ResolvedPlugin
    split: SplitParameters

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """Parameters that can change the result by owner, defaults included."""
        found = {owner: essential(getattr(self, owner).parameters) for owner in KINDS}
        return {**found, "split": essential(self.split)}

    @property
    def plugins(self) -> dict[str, str]:
        """Distribution of each plugin, by owner."""
        return {owner: getattr(self, owner).offer.distribution for owner in KINDS}


@dataclass(frozen=True)
class Parts:
    """Everything that a config names, made.

    Attributes:
        resolved: The config with its plugins and parameters.
        encoder: The encoder.
        dataset: The dataset.
        split: Rows to train on and rows to test on.
        space: The space of the optimizer's points.
        optimizer: The optimizer, at its beginning.
    """

    resolved: ResolvedConfig
    encoder: Encoder
    dataset: Dataset
    split: Split
    space: Space
    optimizer: Optimizer

    @property
    def config(self) -> RunConfig:
        """The request."""
        return self.resolved.config


def resolve_plugin(
    owner: str, name: str, overrides: Mapping[str, Any], registry: Registry
) -> ResolvedPlugin:
    """Looks up one optimizer, encoder or dataset and checks its parameters.

    Raises:
        ConfigError: No plugin has that name, a parameter is unknown, or a value breaks its rule.
    """
    offer, argument = registry.find(KINDS[owner], name)
    try:
        return ResolvedPlugin(offer, argument, offer.plugin.resolve(overrides, owner))
    except PluginError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def resolve_config(config: RunConfig, registry: Registry) -> ResolvedConfig:
    """Looks up every name of a config and checks every parameter; nothing is loaded.

    Raises:
        ConfigError: A plugin or a parameter is unknown, or a value breaks its rule.
    """
    optimizer, encoder, dataset = (
        resolve_plugin(owner, getattr(config, owner), config.overrides.get(owner, {}), registry)
        for owner in KINDS
    )
    split: SplitParameters = resolve(SplitParameters, config.overrides.get("split", {}), "split")
    return ResolvedConfig(config, optimizer, encoder, dataset, split)


def make_encoder(
    config: RunConfig, plugin: ResolvedPlugin, settings: Settings | None = None
) -> Encoder:
    """The encoder that a config names.

    Args:
        config: The request.
        plugin: The encoder's plugin.
        settings: Those of the run that is resumed; ``None`` for a new run.

    Raises:
        ConfigError: ``quantize`` or ``max_cost`` does not go with the encoder.
        EncoderError: It cannot be loaded or reached.
    """
    request = EncoderRequest(
        name=config.encoder,
        argument=plugin.argument,
        device=config.device,
        precision=config.precision,
        cache=cache_folder(),
        settings=settings or {},
    )
    encoder: Encoder = plugin.build(request)
    try:
        _check_payment(config, encoder)
    except ConfigError:
        encoder.close()
        raise
    return RoundedEncoder(encoder) if config.quantize else encoder


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


def make_dataset(config: RunConfig, plugin: ResolvedPlugin, size: int) -> Dataset:
    """The dataset that a config names, for images of ``size`` pixels a side.

    Raises:
        ConfigError: The disease is unknown, or a folder is missing.
        DatasetError: A file or a row is wrong.
    """
    root = Path(config.data_root) if config.data_root is not None else None
    request = DatasetRequest(config.disease, root, size, cache_folder(), plugin.argument)
    dataset: Dataset = plugin.build(request)
    return dataset


def make_optimizer(config: RunConfig, plugin: ResolvedPlugin, space: Space) -> Optimizer:
    """The optimizer that a config names, at its beginning."""
    context = OptimizerContext(
        space=space,
        rng=generator(config.seed, "optimizer"),
        budget=config.budget,
        batch_size=config.batch_size,
        argument=plugin.argument,
    )
    optimizer: Optimizer = plugin.build(context)
    return optimizer


def make_parts(
    config: RunConfig, registry: Registry, listener: Listener, settings: Settings | None = None
) -> Parts:
    """Makes everything that a config names; nothing is embedded yet.

    Args:
        config: The request.
        registry: Installed plugins.
        listener: Told of parts that take long.
        settings: Those of the encoder of a run that is resumed.

    Raises:
        ConfigError: A name or a parameter is wrong, or parts do not fit together.
        DatasetError: A file or a row of the dataset is wrong.
    """
    resolved = resolve_config(config, registry)
    listener.phase("load the encoder", 0)
    encoder = make_encoder(config, resolved.encoder, settings)
    try:
        for note in encoder.spec.notes:
            listener.note(note)

        def dataset(size: int) -> Dataset:
            listener.phase("read the dataset", 0)
            return make_dataset(config, resolved.dataset, size)

        return fit_parts(resolved, encoder, dataset)
    except BaseException:
        encoder.close()
        raise


def fit_parts(
    resolved: ResolvedConfig, encoder: Encoder, dataset_of: Callable[[int], Dataset]
) -> Parts:
    """Puts an encoder and a dataset together with the other parts of a config.

    Args:
        resolved: The config with its plugins and parameters.
        encoder: The encoder that the config names.
        dataset_of: Gives the dataset for images of so many pixels a side; called last, for a dataset
            may take longest.

    Raises:
        ConfigError: Parts do not fit together.
        DatasetError: A file or a row of the dataset is wrong.
    """
    config, shape = resolved.config, encoder.spec.image_shape
    space = make_space(config.space, shape, config.box)
    optimizer = make_optimizer(config, resolved.optimizer, space)
    _check_first_ask(resolved, space, encoder)
    dataset = dataset_of(shape[1])
    if dataset.spec.shape[1:] != shape[1:] or dataset.spec.shape[0] not in (1, shape[0]):
        raise PluginError(
            f"dataset {config.dataset!r} gives images of shape {dataset.spec.shape}, but encoder "
            f"{config.encoder!r} takes {shape}"
        )
    split = make_split(dataset, resolved.split, generator(config.seed, "split"))
    if config.batch_size > len(split.train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(split.train)} images "
            "to train on"
        )
    return Parts(resolved, encoder, dataset, split, space, optimizer)


def _check_first_ask(resolved: ResolvedConfig, space: Space, encoder: Encoder) -> None:
    """Prices the first batch before anything is spent.

    The ask comes from another instance, for asking changes the state of an optimizer.
    """
    config = resolved.config
    other = make_optimizer(config, resolved.optimizer, space)
    if other.feedback == "gradient" and not encoder.spec.differentiable:
        raise ConfigError(
            f"optimizer {config.optimizer!r} needs gradients, which encoder {config.encoder!r} "
            "does not give; choose a black-box optimizer"
        )
    ask = require_ask(other.ask())
    images = len(ask.points) * config.batch_size
    price = Ledger(config.backward_cost).price(images, gradient=ask.want == "gradient")
    if price > config.budget:
        raise ConfigError(
            f"budget is {config.budget}, but the first batch of optimizer {config.optimizer!r} "
            f"costs {price} queries; give at least that"
        )
