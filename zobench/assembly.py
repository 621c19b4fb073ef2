"""From a config to the parts it names: encoder, dataset, split, space, optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .config import RunConfig, cache_folder
from .datasets import Dataset, DatasetRequest
from .encoders import Encoder, EncoderRequest
from .errors import ConfigError
from .optimizers import Optimizer, OptimizerContext
from .parameters import resolve
from .plugins import Registry
from .progress import Listener
from .spaces import Space, make_space
from .splitting import Split, SplitParameters, make_split
from .streams import generator


@dataclass(frozen=True)
class Parts:
    """Everything that a config names, made."""

    encoder: Encoder
    dataset: Dataset
    split: Split
    space: Space
    optimizer: Optimizer
    plugins: dict[str, str]


def make_parts(
    config: RunConfig,
    registry: Registry,
    listener: Listener,
    settings: dict[str, str | int] | None = None,
) -> Parts:
    """Makes everything that a config names; nothing is embedded yet.

    Raises:
        ConfigError: A name or a parameter is wrong.
        DatasetError: The dataset is.
    """
    optimizers, argument = registry.find("optimizers", config.optimizer)
    if argument:
        raise ConfigError(f"optimizer {config.optimizer!r} takes nothing after a colon")
    encoders, encoder_argument = registry.find("encoders", config.encoder)
    datasets, _ = registry.find("datasets", config.dataset)
    overrides = config.overrides
    split_parameters = resolve(SplitParameters, overrides.get("split", {}), "split")
    listener.phase("load the encoder", 0)
    encoder: Encoder = encoders.plugin.make(
        EncoderRequest(
            name=config.encoder,
            argument=encoder_argument,
            device=config.device,
            precision=config.precision,
            cache=cache_folder(),
            settings=settings or {},
        ),
        overrides.get("encoder", {}),
        "encoder",
    )
    for note in encoder.spec.notes:
        listener.note(note)
    space = make_space(config.space, encoder.spec.image_shape)
    optimizer: Optimizer = optimizers.plugin.make(
        OptimizerContext(
            space, generator(config.seed, "optimizer"), config.budget, config.batch_size
        ),
        overrides.get("optimizer", {}),
        "optimizer",
    )
    if optimizer.feedback == "gradient" and not encoder.spec.differentiable:
        raise ConfigError(
            f"optimizer {config.optimizer!r} needs gradients, which encoder {config.encoder!r} "
            "does not give; choose a black-box optimizer"
        )
    listener.phase("read the dataset", 0)
    root = Path(config.data_root).expanduser() if config.data_root is not None else None
    dataset: Dataset = datasets.plugin.make(
        DatasetRequest(config.disease, root, encoder.spec.image_shape[1], cache_folder()),
        overrides.get("dataset", {}),
        "dataset",
    )
    split = make_split(dataset, split_parameters, generator(config.seed, "split"))
    if config.batch_size > len(split.train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(split.train)} films to "
            "train on"
        )
    sources = {
        "optimizer": optimizers.distribution,
        "encoder": encoders.distribution,
        "dataset": datasets.distribution,
    }
    return Parts(encoder, dataset, split, space, optimizer, sources)
