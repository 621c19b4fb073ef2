"""Encoders and datasets that many runs have in common, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

from zobench.billing.account import close_and_tell
from .parts import Parts, fit_parts, make_dataset, make_encoder, resolved
from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset
from zobench.contracts.encoder import Encoder
from zobench.errors import ZobenchError
from .lifecycle import new_manifest
from zobench.files.files import Json
from zobench.records.identity import identity
from zobench.registry.discovery import Registry
from zobench.contracts.listener import Listener
from .provenance import split_digest
from zobench.problem.split import SplitParameters, make_split
from zobench.contracts.random_streams import generator

Made = TypeVar("Made")
FIELDS = tuple(each.name for each in fields(RunConfig))


@dataclass(frozen=True)
class _Problem:
    """A run's manifest, as it is for every seed but for the seed and the split, and its dataset."""

    manifest: Json
    dataset: Dataset


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
        self._problems: dict[str, _Problem] = {}
        self._splits: dict[str, str] = {}

    def parts(self, config: RunConfig) -> Parts:
        """Everything that a config names, checked.

        Raises:
            ZobenchError: As :func:`zobench.runs.parts.make_parts`.
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

    def identity(self, config: RunConfig) -> str:
        """Identity of the run that a config asks for; runs that differ in the seed are checked once.

        Raises:
            ZobenchError: As :meth:`parts`.
        """
        seedless = _key({each: getattr(config, each) for each in FIELDS if each != "seed"})
        if seedless not in self._problems:
            parts = self.parts(config)
            self._problems[seedless] = _Problem(new_manifest(config, parts), parts.dataset)
        known = self._problems[seedless]
        manifest = known.manifest
        if config.seed != manifest["config"]["seed"]:
            settings = manifest["parameters"]["split"]
            key = _key(id(known.dataset), settings, config.seed)
            if key not in self._splits:
                rng = generator(config.seed, "split")
                split = make_split(known.dataset, SplitParameters(**settings), rng)
                self._splits[key] = split_digest(split)
            manifest = {
                **manifest,
                "config": {**manifest["config"], "seed": config.seed},
                "split": {"digest": self._splits[key]},
            }
        return identity(manifest)

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
