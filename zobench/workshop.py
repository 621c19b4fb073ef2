"""Encoders and datasets that many runs have in common, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self, TypeVar

from .accounts import close_and_tell
from .assembly import Parts, fit_parts, make_dataset, make_encoder, resolved
from .config import RunConfig
from .datasets import Dataset
from .encoders import Encoder
from .errors import ZobenchError
from .plugins import Registry
from .progress import Listener

Made = TypeVar("Made")


class Workshop:
    """Makes the parts of many runs, each encoder and each dataset once.

    Attributes:
        registry: Plugins.
        listener: Told what takes long.
    """

    def __init__(self, registry: Registry, listener: Listener) -> None:
        self.registry, self.listener = registry, listener
        self._encoders: dict[str, Encoder | ZobenchError] = {}
        self._datasets: dict[str, Dataset | ZobenchError] = {}

    def parts(self, config: RunConfig) -> Parts:
        """Everything that a config names, checked.

        Raises:
            ZobenchError: As :func:`zobench.assembly.make_parts`.
        """
        resolved(config, self.registry)

        def encoder() -> Encoder:
            self.listener.phase(f"load {config.encoder}", 0)
            return make_encoder(config, self.registry)

        def dataset(size: int) -> Dataset:
            def make() -> Dataset:
                self.listener.phase(f"read {config.dataset}/{config.disease}", 0)
                return make_dataset(config, self.registry, size)

            root, settings = config.data_root, config.overrides.get("dataset")
            key = _key(config.dataset, config.disease, root, settings, size)
            return _once(self._datasets, key, make)

        settings = config.overrides.get("encoder")
        key = _key(config.encoder, settings, config.device, config.precision, config.quantize)
        made = _once(self._encoders, key, encoder)
        return fit_parts(config, self.registry, made, dataset)

    def __enter__(self) -> Self:
        """Nothing is made yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Lets encoders go."""
        for each in self._encoders.values():
            if not isinstance(each, ZobenchError):
                close_and_tell(each, self.listener)


def _key(*values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _once(made: dict[str, Made | ZobenchError], key: str, make: Callable[[], Made]) -> Made:
    """What was made under a key before, its failure included."""
    if key not in made:
        try:
            made[key] = make()
        except ZobenchError as error:
            made[key] = error
    found = made[key]
    if isinstance(found, ZobenchError):
        raise found
    return found
