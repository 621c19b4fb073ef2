"""The parts of many runs: each encoder and each dataset is made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

from zobench.billing.account import close_and_tell
from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset
from zobench.contracts.encoder import Encoder
from zobench.contracts.listener import Listener
from zobench.contracts.random_streams import generator
from zobench.errors import ZobenchError
from zobench.problem.split import Split, make_split
from zobench.records.identity import identity
from zobench.records.manifest import Manifest, SplitRecord
from zobench.registry.discovery import Registry

from .parts import (
    Parts,
    Shape,
    check_split,
    fit_parts,
    make_dataset,
    make_encoder,
    make_local,
    precheck_dataset,
)
from .provenance import new_manifest, split_digest
from .resolved import resolve_config

Made = TypeVar("Made")
FIELDS = tuple(field.name for field in fields(RunConfig))


@dataclass(frozen=True)
class _Problem:
    """Manifest and parts of the first of several configs that differ in the seed only."""

    manifest: Manifest
    parts: Parts


class SharedParts:
    """Makes the parts of many runs; a context manager that closes the encoders at its end.

    Attributes:
        registry: Installed plugins.
        listener: Receives the phases that take long.
    """

    def __init__(self, registry: Registry, listener: Listener) -> None:
        self.registry, self.listener = registry, listener
        self._encoders: dict[str, Encoder | ZobenchError] = {}
        self._borrowed: dict[str, Encoder | ZobenchError | None] = {}
        self._prechecked: dict[str, ZobenchError | None] = {}
        self._datasets: dict[str, Dataset | ZobenchError] = {}
        self._problems: dict[str, _Problem] = {}
        self._splits: dict[str, Split] = {}

    def parts(self, config: RunConfig) -> Parts:
        """The checked parts of a config; the encoder and dataset may be shared with other configs.

        Raises:
            ZobenchError: The same errors as :func:`zobench.runs.parts.make_parts`.
        """
        resolved = resolve_config(config, self.registry)

        def encoder() -> Encoder:
            self.listener.phase(f"load {config.encoder}", 0)
            return make_encoder(config, resolved.encoder)

        def dataset(shape: Shape) -> Dataset:
            def make() -> Dataset:
                self.listener.phase(f"read {config.dataset}/{config.disease}", 0)
                return make_dataset(config, resolved.dataset, shape)

            root, settings = config.data_root, config.overrides.get("dataset")
            key = _key(config.dataset, config.disease, root, settings, shape)
            return _once(self._datasets, key, make)

        def prechecked() -> None:
            precheck_dataset(config, resolved.dataset)

        def borrowed() -> Encoder | None:
            return make_local(config, resolved.optimizer)

        root, settings = config.data_root, config.overrides.get("dataset")
        _once(self._prechecked, _key(config.dataset, config.disease, root, settings), prechecked)
        settings = config.overrides.get("encoder")
        key = _key(config.encoder, settings, config.device, config.precision, config.quantize)
        loaded = _once(self._encoders, key, encoder)
        plugin = resolved.optimizer.borrowed
        key = _key("borrowed", plugin and plugin.name, config.device, config.precision)
        local = _once(self._borrowed, key, borrowed)
        return fit_parts(resolved, loaded, dataset, local)

    def identity(self, config: RunConfig) -> str:
        """The identity of the run of a config.

        Configs that differ only in the seed share one call of :meth:`parts`; the split is drawn for
        each seed.

        Raises:
            ZobenchError: The same errors as :meth:`parts`.
        """
        seedless = _key({field: getattr(config, field) for field in FIELDS if field != "seed"})
        if seedless not in self._problems:
            parts = self.parts(config)
            self._problems[seedless] = _Problem(new_manifest(parts), parts)
        problem = self._problems[seedless]
        manifest = problem.manifest
        if config.seed != manifest.config.seed:
            dataset, resolved = problem.parts.dataset, problem.parts.resolved
            key = _key(id(dataset), repr(resolved.split), config.seed)
            if key not in self._splits:
                drawn = make_split(dataset, resolved.split, generator(config.seed, "split"))
                self._splits[key] = drawn
            check_split(resolved, dataset, self._splits[key])
            record = SplitRecord(split_digest(self._splits[key]))
            manifest = manifest.changed(config=config, split=record)
        return identity(manifest)

    def __enter__(self) -> Self:
        """Returns this object; encoders and datasets are made later, on first use."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the encoders."""
        for part in (*self._encoders.values(), *self._borrowed.values()):
            if part is not None and not isinstance(part, ZobenchError):
                close_and_tell(part, self.listener)


def _key(*values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _once(made: dict[str, Made | ZobenchError], key: str, make: Callable[[], Made]) -> Made:
    """The object of a key, made at the first call; an error of that call is raised again."""
    if key not in made:
        try:
            made[key] = make()
        except ZobenchError as error:
            made[key] = error
    part = made[key]
    if isinstance(part, ZobenchError):
        raise part
    return part
