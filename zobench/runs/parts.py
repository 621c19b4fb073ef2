"""Makes the parts that a config names: encoder, dataset, split and space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zobench.billing.account import PaidEncoder
from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset, DatasetRequest
from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.contracts.listener import Listener
from zobench.contracts.optimizer import Feedback
from zobench.contracts.random_streams import generator
from zobench.contracts.space import Space
from zobench.errors import ConfigError, PluginError
from zobench.paths import cache_folder
from zobench.problem.quantization import RoundedEncoder
from zobench.problem.spaces import make_space
from zobench.problem.split import Split, make_split
from zobench.records.manifest import Manifest
from zobench.registry.discovery import Registry

from .baselines import require_fitting
from .resolved import ResolvedConfig, ResolvedPlugin, resolve_config, unpriced
from .search_parts import check_optimizer

MAX_BOOTSTRAP_WEIGHTS = 500_000_000
"""Most numbers of the table of bootstrap weights, one per resample and test image: 4 GB."""

Settings = Mapping[str, str | int]
"""``EncoderSpec.settings`` of a resumed run, from its manifest."""

NEW: Settings = {}
"""The settings of a new run's encoder, which chooses them."""


@dataclass(frozen=True)
class Parts:
    """The encoder, dataset, split and space of a config.

    The optimizer and the objective are made by :mod:`zobench.runs.search_parts`, since they may need the
    clean embeddings.

    Attributes:
        resolved: The config with its plugins and parameters.
        encoder: The encoder.
        dataset: The dataset.
        split: Rows to train on and rows to test on.
        space: The space of the optimizer's points.
        feedback: The feedback level that the optimizer declares.
        first_batch: Images of the optimizer's first ask; those of one evaluation where an optimizer must
            see the clean embeddings before it can ask.
        local: The encoder that the optimizer borrows; ``None`` for none.
    """

    resolved: ResolvedConfig
    encoder: Encoder
    dataset: Dataset
    split: Split
    space: Space
    feedback: Feedback
    first_batch: int
    local: Encoder | None = None

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The encoder of the run, and the one that the optimizer borrows."""
        return (self.encoder,) if self.local is None else (self.encoder, self.local)

    @property
    def config(self) -> RunConfig:
        """The config of the run."""
        return self.resolved.config


def make_encoder(config: RunConfig, plugin: ResolvedPlugin, settings: Settings = NEW) -> Encoder:
    """The encoder that a config names.

    Args:
        config: The config of the run.
        plugin: The encoder's plugin.
        settings: The encoder's settings in the resumed run.

    Raises:
        ConfigError: ``quantize`` or ``max_cost`` cannot be used with this encoder.
        EncoderError: The encoder cannot be loaded or reached.
    """
    encoder = _loaded(config, config.encoder, plugin, settings)
    try:
        _check_payment(config, encoder)
    except ConfigError:
        encoder.close()
        raise
    return RoundedEncoder(encoder) if config.quantize else encoder


def make_local(
    config: RunConfig, optimizer: ResolvedPlugin, settings: Settings = NEW
) -> Encoder | None:
    """The encoder that an optimizer borrows, on the device of the run; ``None`` for none.

    Args:
        config: The config of the run.
        optimizer: The optimizer's plugin.
        settings: The borrowed encoder's settings in the resumed run.

    Raises:
        ConfigError: It gives no gradients.
        EncoderError: It cannot be loaded.
    """
    if (plugin := optimizer.borrowed) is None:
        return None
    encoder = _loaded(config, plugin.name, plugin, settings)
    if not encoder.spec.differentiable:
        encoder.close()
        raise ConfigError(
            f"optimizer {config.optimizer!r} needs an encoder with gradients on this machine, but "
            f"{plugin.name} gives none; name another one after the colon"
        )
    return encoder


def _loaded(config: RunConfig, name: str, plugin: ResolvedPlugin, settings: Settings) -> Encoder:
    request = EncoderRequest(
        name=name,
        argument=plugin.argument,
        device=config.device,
        precision=config.precision,
        cache=cache_folder(),
        settings=settings,
    )
    encoder: Encoder = plugin.build(request)
    return encoder


def _check_payment(config: RunConfig, encoder: Encoder) -> None:
    paid = isinstance(encoder, PaidEncoder)
    if config.quantize and paid:
        raise ConfigError(
            f"quantize is {config.quantize}, but encoder {config.encoder!r} is a service, and "
            "images sent to a service are not rounded here; quantize is for local encoders only"
        )
    if config.max_cost and not (paid and encoder.spec.price):
        fix = "give it in the encoder's spec" if paid else "nobody bills it"
        raise ConfigError(unpriced(config) + fix)


Shape = tuple[int, int, int]
"""``(C, H, W)`` of the images that an encoder takes."""


def precheck_dataset(config: RunConfig, plugin: ResolvedPlugin) -> None:
    """Refuses what the dataset would refuse, as far as it can tell before the encoder is loaded.

    Raises:
        ConfigError: The disease is unknown, or a folder is missing.
        DatasetError: A file is missing or wrong.
    """
    root, argument = _root(config), plugin.argument
    plugin.offer.plugin.precheck_dataset(config.disease, root, argument, plugin.parameters)


def _root(config: RunConfig) -> Path | None:
    return Path(config.data_root) if config.data_root is not None else None


def make_dataset(config: RunConfig, plugin: ResolvedPlugin, shape: Shape) -> Dataset:
    """The dataset that a config names, with images for an encoder that takes ``shape``.

    Raises:
        ConfigError: The disease is unknown, or a folder is missing.
        DatasetError: A file or a row is wrong.
        PluginError: A column of numbers is not int64, or a label is neither 0 nor 1.
    """
    request = DatasetRequest(
        disease=config.disease,
        root=_root(config),
        size=shape[1],
        cache=cache_folder(),
        argument=plugin.argument,
        channels=shape[0],
    )
    dataset: Dataset = plugin.build(request)
    for column in ("patient", "label", "sensitive"):
        values = np.asarray(getattr(dataset.records, column))
        check = f"see: zobench plugin check {plugin.offer.name}"
        if values.dtype != np.int64:
            raise PluginError(
                f"dataset {config.dataset!r} gives {column} as {values.dtype}, but must give int64; "
                + check
            )
        if column != "patient" and not np.isin(values, (0, 1)).all():
            wrong = values[~np.isin(values, (0, 1))][0]
            raise PluginError(
                f"dataset {config.dataset!r} gives {wrong} as a {column}, but must give 0 or 1; leave "
                f"images out of which it is not known; {check}"
            )
    return dataset


def make_parts(
    config: RunConfig, registry: Registry, listener: Listener, begun: Manifest | None = None
) -> Parts:
    """Makes all parts that a config names, without embedding the dataset's images.

    Args:
        config: The config of the run.
        registry: Installed plugins.
        listener: Receives the phases that take long, and the encoder's notes.
        begun: The manifest of the run to resume, whose encoders' settings stay; ``None`` for a new run.

    Raises:
        ConfigError: A name or a parameter is wrong, or two parts are incompatible.
        DatasetError: A file or a row of the dataset is wrong.
    """
    resolved = resolve_config(config, registry)
    precheck_dataset(config, resolved.dataset)
    listener.phase("load the encoder", 0)
    before, before_local = _settings(begun)
    with ExitStack() as opened:
        # first, since a service may bill what it is asked when it is reached
        local = make_local(config, resolved.optimizer, before_local)
        if local is not None:
            opened.callback(local.close)
        encoder = make_encoder(config, resolved.encoder, before)
        opened.callback(encoder.close)
        for note in encoder.spec.notes:
            listener.note(note)

        def dataset(shape: Shape) -> Dataset:
            listener.phase("read the dataset", 0)
            return make_dataset(config, resolved.dataset, shape)

        parts = fit_parts(resolved, encoder, dataset, local)
        opened.pop_all()
    return parts


def _settings(begun: Manifest | None) -> tuple[Settings, Settings]:
    """The settings of a resumed run's encoder, and of the one that its optimizer borrowed."""
    if begun is None:
        return NEW, NEW
    return begun.encoder.settings, NEW if begun.local is None else begun.local.settings


def fit_parts(
    resolved: ResolvedConfig,
    encoder: Encoder,
    dataset_of: Callable[[Shape], Dataset],
    local: Encoder | None = None,
) -> Parts:
    """Makes the space and split of a config for a given encoder and dataset.

    Args:
        resolved: The config with its plugins and parameters.
        encoder: The encoder that the config names.
        dataset_of: Makes the dataset for the shape of the encoder's images; called after the
            checks of space and optimizer, since reading a dataset may take long.
        local: The encoder that the optimizer borrows; ``None`` for none.

    Raises:
        ConfigError: Two parts are incompatible, or the optimizer would borrow the encoder itself.
        DatasetError: A file or a row of the dataset is wrong.
    """
    config, shape = resolved.config, encoder.spec.image_shape
    if local is not None and encoder.spec.digest == local.spec.digest:
        raise ConfigError(
            f"optimizer {config.optimizer!r} would have the gradients of {config.encoder} itself; "
            "choose an optimizer of the level gradient, or another encoder on this machine"
        )
    space = make_space(config.space, shape, config.box)
    feedback, first_batch = check_optimizer(resolved, space, encoder)
    dataset = dataset_of(shape)
    if dataset.spec.shape[1:] != shape[1:] or dataset.spec.shape[0] not in (1, shape[0]):
        raise PluginError(
            f"dataset {config.dataset!r} gives images of shape {dataset.spec.shape}, but encoder "
            f"{config.encoder!r} takes {shape}"
        )
    split = make_split(dataset, resolved.split, generator(config.seed, "split"))
    check_split(resolved, dataset, split)
    return Parts(resolved, encoder, dataset, split, space, feedback, first_batch, local)


def check_split(resolved: ResolvedConfig, dataset: Dataset, split: Split) -> None:
    """Checks a split against what a config asks of it.

    Raises:
        ConfigError: There are too few training images for a minibatch or for a baseline, or too many
            test images for so many replicates.
    """
    config = resolved.config
    if config.batch_size > len(split.train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(split.train)} images "
            f"to train on; give --batch-size {len(split.train)} or fewer, or a larger split.train"
        )
    records = dataset.records
    train = records.label[split.train], records.sensitive[split.train]
    require_fitting(resolved.baselines, *train)
    weights = (config.replicates + 1) * len(split.test)
    if weights > MAX_BOOTSTRAP_WEIGHTS:
        raise ConfigError(
            f"replicates is {config.replicates:,}, which with {len(split.test):,} test images takes "
            f"{8 * weights / 1e9:,.0f} GB; give at most {MAX_BOOTSTRAP_WEIGHTS // len(split.test) - 1:,}"
        )
