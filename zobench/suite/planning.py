"""From a suite to jobs: every run is checked, and found on disk if anybody has begun it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .. import store
from ..assembly import Parts, fit_parts, make_dataset, make_encoder, resolved
from ..config import RunConfig
from ..datasets import Dataset
from ..encoders import Encoder
from ..errors import ZobenchError
from ..execution import new_manifest, slug
from ..identity import identity
from ..plugins import Registry
from ..progress import Listener
from .file import Problems, Suite

Made = TypeVar("Made")


@dataclass(frozen=True)
class Job:
    """One run of a suite and where it lies.

    Attributes:
        config: What to run.
        folder: Its run folder, there or not.
        identity: See :func:`zobench.identity.identity`.
        trackers: Names of trackers to be told of it.
    """

    config: RunConfig = field(compare=False)
    folder: Path
    identity: str
    trackers: tuple[str, ...] = ()


class Workshop:
    """Makes the parts of many runs, each encoder and each dataset once."""

    def __init__(self, registry: Registry, listener: Listener) -> None:
        self._registry, self._listener = registry, listener
        self._encoders: dict[str, Encoder | ZobenchError] = {}
        self._datasets: dict[str, Dataset | ZobenchError] = {}

    def parts(self, config: RunConfig) -> Parts:
        """Everything that a config names, checked.

        Raises:
            ZobenchError: As :func:`zobench.assembly.make_parts`.
        """
        resolved(config, self._registry)

        def encoder() -> Encoder:
            self._listener.phase(f"load {config.encoder}", 0)
            return make_encoder(config, self._registry)

        def dataset(size: int) -> Dataset:
            def make() -> Dataset:
                self._listener.phase(f"read {config.dataset}/{config.disease}", 0)
                return make_dataset(config, self._registry, size)

            root, settings = config.data_root, config.overrides.get("dataset")
            key = _key(config.dataset, config.disease, root, settings, size)
            return _once(self._datasets, key, make)

        settings = config.overrides.get("encoder")
        key = _key(config.encoder, settings, config.device, config.precision)
        made = _once(self._encoders, key, encoder)
        return fit_parts(config, self._registry, made, dataset)

    def close(self) -> None:
        """Lets encoders go."""
        for each in self._encoders.values():
            if not isinstance(each, ZobenchError):
                each.close()


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


def plan(suite: Suite, path: Path, out: Path, registry: Registry, listener: Listener) -> list[Job]:
    """Checks every run of a suite and says where it lies, or will.

    Args:
        suite: What to run.
        path: Its file, for messages.
        out: Folder of run folders.
        registry: Plugins.
        listener: Told what takes long.

    Raises:
        ConfigError: Some run cannot be carried out; all problems are listed.
    """
    workshop, problems = Workshop(registry, listener), Problems()
    there = runs_by_identity(store.run_folders(out))
    jobs: list[Job] = []
    known: dict[str, RunConfig] = {}
    try:
        for config in suite.configs:
            try:
                name = identity(new_manifest(config, workshop.parts(config)))
            except ZobenchError as error:
                problems.append(str(error))
                continue
            if name in known:
                problems.append(
                    f"{config.optimizer} with seed {config.seed} is declared twice, once with "
                    f"{dict(config.overrides)} and once with {dict(known[name].overrides)}, which is "
                    "the same"
                )
            known[name] = config
            jobs.append(Job(config, there.get(name, _fresh(config, name, out)), name))
    finally:
        workshop.close()
    problems.raise_if_any(path)
    return jobs


def place(config: RunConfig, name: str, out: Path) -> Path:
    """Where the run of an identity lies, or will."""
    return runs_by_identity(store.run_folders(out)).get(name, _fresh(config, name, out))


def _fresh(config: RunConfig, name: str, out: Path) -> Path:
    return out / f"{slug(config)}-{name[:10]}"


def runs_by_identity(paths: Iterable[Path]) -> dict[str, Path]:
    """Folders by identity; of two equal runs the one that got further."""
    found: dict[str, tuple[bool, Path]] = {}
    for path in paths:
        with suppress(ZobenchError, KeyError):  # a stranger's folder is none of ours
            manifest = store.read_manifest(path)
            name, done = identity(manifest), manifest["status"] == "done"
            if name not in found or (done and not found[name][0]):
                found[name] = (done, path)
    return {name: path for name, (_, path) in found.items()}
