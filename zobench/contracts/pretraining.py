"""The contract of a pretraining recipe, which trains the bundled weights again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .dataset import Dataset
from .listener import Listener

DatasetMaker = Callable[[str, str, int, Mapping[str, object]], Dataset]
"""Makes a registered dataset from (name, disease, image side in pixels, overrides)."""


@dataclass(frozen=True)
class PretrainingRequest:
    """The user's request to a recipe.

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
