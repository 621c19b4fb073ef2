"""Makes registered datasets for recipes of weights."""

from __future__ import annotations

from collections.abc import Mapping

from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset
from zobench.contracts.pretraining import DatasetMaker
from zobench.registry.discovery import Registry

from .parts import make_dataset
from .resolved import resolve_plugin


def dataset_maker(registry: Registry) -> DatasetMaker:
    """A function that makes the datasets of a registry."""

    def make(name: str, disease: str, size: int, overrides: Mapping[str, object]) -> Dataset:
        config = RunConfig(dataset=name, disease=disease, overrides={"dataset": overrides})
        plugin = resolve_plugin("dataset", name, overrides, registry)
        return make_dataset(config, plugin, (1, size, size))

    return make
