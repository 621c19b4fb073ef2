"""Makes the parts that a config names: encoder, dataset, split, space, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zobench.billing.account import PaidEncoder
from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset, DatasetRequest
from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.contracts.handover import taken_ask
from zobench.contracts.listener import Listener
from zobench.contracts.optimizer import Optimizer, OptimizerContext
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
from zobench.registry.failure import plugin_code

MAX_BOOTSTRAP_WEIGHTS = 500_000_000
"""Most numbers of the table of bootstrap weights, one per resample and test image: 4 GB."""

Settings = Mapping[str, str | int]
"""``EncoderSpec.settings`` of a resumed run, from its manifest."""

OWNER_KINDS: Mapping[str, Kind] = {
    "optimizer": "optimizers",
    "encoder": "encoders",
    "dataset": "datasets",
}
"""The kind of plugin for each owner of parameters, except ``split``, which is no plugin."""


@dataclass(frozen=True)
class ResolvedPlugin:
    """A plugin that a config names, found in the registry, with its checked parameters.

    Attributes:
        offer: The plugin and its distribution.
        argument: The text after the colon of the name; empty without a colon.
        parameters: An instance of the plugin's parameter dataclass.
    """

    offer: Offer
    argument: str
    parameters: Any

    def build(self, context: object) -> Any:
        """Makes the plugin's object."""
        return self.offer.plugin.build(context, self.parameters)


@dataclass(frozen=True)
class ResolvedConfig:
    """A config with its plugins and checked parameters; no part is made yet.

    Attributes:
        config: The config of the run.
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
        """Parameters that can change the result, by owner and name, including defaults."""
        found = {owner: essential(getattr(self, owner).parameters) for owner in OWNER_KINDS}
        return {**found, "split": essential(self.split)}

    @property
    def plugins(self) -> dict[str, str]:
        """Distribution of each plugin, by owner."""
        return {owner: getattr(self, owner).offer.distribution for owner in OWNER_KINDS}


@dataclass(frozen=True)
class Parts:
    """The encoder, dataset, split, space and optimizer of a config.

    Attributes:
        resolved: The config with its plugins and parameters.
        encoder: The encoder.
        dataset: The dataset.
        split: Rows to train on and rows to test on.
        space: The space of the optimizer's points.
        optimizer: The optimizer, before its first ask.
    """

    resolved: ResolvedConfig
    encoder: Encoder
    dataset: Dataset
    split: Split
    space: Space
    optimizer: Optimizer

    @property
    def config(self) -> RunConfig:
        """The config of the run."""
        return self.resolved.config


def resolve_plugin(
    owner: str, name: str, overrides: Mapping[str, Any], registry: Registry
) -> ResolvedPlugin:
    """Looks up one optimizer, encoder or dataset and checks its parameters.

    Raises:
        ConfigError: No plugin has that name, a parameter is unknown, or a value is not allowed.
    """
    offer, argument = registry.find(OWNER_KINDS[owner], name)
    try:
        return ResolvedPlugin(offer, argument, offer.plugin.resolve(overrides, owner))
    except PluginError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def resolve_config(config: RunConfig, registry: Registry) -> ResolvedConfig:
    """Looks up every plugin of a config and checks every parameter; no part is loaded.

    Raises:
        ConfigError: A plugin or a parameter is unknown, or a value is not allowed.
    """
    optimizer, encoder, dataset = (
        resolve_plugin(owner, getattr(config, owner), config.overrides.get(owner, {}), registry)
        for owner in OWNER_KINDS
    )
    split: SplitParameters = resolve(SplitParameters, config.overrides.get("split", {}), "split")
    return ResolvedConfig(config, optimizer, encoder, dataset, split)


def make_encoder(
    config: RunConfig, plugin: ResolvedPlugin, settings: Settings | None = None
) -> Encoder:
    """The encoder that a config names.

    Args:
        config: The config of the run.
        plugin: The encoder's plugin.
        settings: The encoder's settings in the resumed run; ``None`` for a new run.

    Raises:
        ConfigError: ``quantize`` or ``max_cost`` cannot be used with this encoder.
        EncoderError: The encoder cannot be loaded or reached.
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
            f"quantize is {config.quantize}, but encoder {config.encoder!r} is a service, and "
            "images sent to a service are not rounded here; quantize is for local encoders only"
        )
    if config.max_cost and not (paid and encoder.spec.price):
        raise ConfigError(
            f"max_cost is {config.max_cost:g}, but encoder {config.encoder!r} has no price; "
            + ("give one: --set encoder.price=0.0001" if paid else "nobody bills it")
        )


def make_dataset(config: RunConfig, plugin: ResolvedPlugin, size: int) -> Dataset:
    """The dataset that a config names, with images of ``size`` x ``size`` pixels.

    Raises:
        ConfigError: The disease is unknown, or a folder is missing.
        DatasetError: A file or a row is wrong.
    """
    root = Path(config.data_root) if config.data_root is not None else None
    request = DatasetRequest(config.disease, root, size, cache_folder(), plugin.argument)
    dataset: Dataset = plugin.build(request)
    return dataset


def make_optimizer(config: RunConfig, plugin: ResolvedPlugin, space: Space) -> Optimizer:
    """The optimizer that a config names, before its first ask."""
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
    """Makes all parts that a config names, without embedding the dataset's images.

    Args:
        config: The config of the run.
        registry: Installed plugins.
        listener: Receives the phases that take long, and the encoder's notes.
        settings: The encoder's settings in the resumed run; ``None`` for a new run.

    Raises:
        ConfigError: A name or a parameter is wrong, or two parts are incompatible.
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
    """Makes the space, optimizer and split of a config for a given encoder and dataset.

    Args:
        resolved: The config with its plugins and parameters.
        encoder: The encoder that the config names.
        dataset_of: Makes the dataset for a given image side length in pixels; called after the
            checks of space and optimizer, since reading a dataset may take long.

    Raises:
        ConfigError: Two parts are incompatible.
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
    weights = (config.replicates + 1) * len(split.test)
    if weights > MAX_BOOTSTRAP_WEIGHTS:
        raise ConfigError(
            f"replicates is {config.replicates:,}, which with {len(split.test):,} test images takes "
            f"{8 * weights / 1e9:,.0f} GB; give at most {MAX_BOOTSTRAP_WEIGHTS // len(split.test) - 1:,}"
        )
    return Parts(resolved, encoder, dataset, split, space, optimizer)


def _check_first_ask(resolved: ResolvedConfig, space: Space, encoder: Encoder) -> None:
    """Raises if the first batch costs more than the budget, or needs gradients that are missing.

    A second instance of the optimizer makes this ask, because asking changes an optimizer's state.
    """
    config = resolved.config
    other = make_optimizer(config, resolved.optimizer, space)
    if other.feedback == "gradient" and not encoder.spec.differentiable:
        raise ConfigError(
            f"optimizer {config.optimizer!r} needs gradients, which encoder {config.encoder!r} "
            "does not give; choose a black-box optimizer"
        )
    with plugin_code():
        found = other.ask()
    ask = taken_ask(found, config.optimizer, space.shape, other.feedback)
    images = len(ask.points) * config.batch_size
    price = Ledger(config.backward_cost).price(images, gradient=ask.want == "gradient")
    if price > config.budget:
        raise ConfigError(
            f"budget is {config.budget}, but the first batch of optimizer {config.optimizer!r} "
            f"costs {price} queries; give at least that"
        )
