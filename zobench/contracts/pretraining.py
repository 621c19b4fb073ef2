"""What a recipe for bundled weights is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zobench.config import RunConfig
from zobench.registry.discovery import Registry
from zobench.runs.parts import make_dataset

from .dataset import Dataset
from .listener import Listener

DatasetMaker = Callable[[str, str, int, Mapping[str, object]], Dataset]
"""Makes a registered dataset from (name, disease, image size, overrides)."""


@dataclass(frozen=True)
class PretrainingRequest:
    """What the user asked of a recipe.

    Attributes:
        out: Folder for checkpoints and weights.
        images: Folder of unlabelled images to learn from as well, or ``None``.
        dataset: Makes registered datasets.
    """

    out: Path
    images: Path | None
    dataset: DatasetMaker


class Pretraining(Protocol):
    """A recipe that makes weights."""

    def run(self, listener: Listener) -> Path:
        """Trains, or goes on training, and returns the path of the weights."""
        ...


def dataset_maker(registry: Registry) -> DatasetMaker:
    """Makes datasets of a registry."""

    def make(name: str, disease: str, size: int, overrides: Mapping[str, object]) -> Dataset:
        config = RunConfig(dataset=name, disease=disease, overrides={"dataset": overrides})
        return make_dataset(config, registry, size)

    return make
