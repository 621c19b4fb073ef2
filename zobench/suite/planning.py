"""From a suite to jobs: every run is checked, and found on disk if anybody has begun it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.errors import ServiceError, ZobenchError
from zobench.records import run_folder as store
from zobench.records.identity import identity
from zobench.records.urls import copies as places
from zobench.registry.discovery import Registry
from zobench.runs.lifecycle import slug
from zobench.runs.parts import resolved_part
from zobench.runs.shared_parts import Workshop

from .file import Problems, Suite


@dataclass(frozen=True)
class Job:
    """One run of a suite and where it lies.

    Attributes:
        config: What to run.
        folder: Its run folder, there or not.
        identity: See :func:`zobench.identity.identity`.
        trackers: Names of trackers to be told of it.
        url: URL that the run is published to; empty if it stays where it is.
    """

    config: RunConfig = field(compare=False)
    folder: Path
    identity: str
    trackers: tuple[str, ...] = ()
    url: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do: the run is finished and where it belongs."""
        return store.is_done(self.folder) and (not self.url or places.is_published(self.folder))


def plan(
    suite: Suite,
    path: Path,
    out: Path,
    registry: Registry,
    listener: Listener,
    problems: Problems | None = None,
) -> list[Job]:
    """Checks every run of a suite and says where it lies, or will.

    Args:
        suite: What to run.
        path: Its file, for messages.
        out: Folder of run folders.
        registry: Plugins.
        listener: Told what takes long.
        problems: What is known to be wrong with the file already.

    Raises:
        ConfigError: Some run cannot be carried out; all problems are listed.
    """
    problems = Problems() if problems is None else problems
    for entry in suite.entries:  # so that all are told, whatever else keeps runs from being made
        try:
            resolved_part(entry.owner, entry.name, entry.set, registry)
        except ZobenchError as error:
            problems.append(str(error))
    there = runs_by_identity(store.run_folders(out))
    jobs: list[Job] = []
    known: dict[str, RunConfig] = {}
    with Workshop(registry, listener) as workshop:
        for config in suite.configs:
            try:
                name = workshop.identity(config)
            except ServiceError:
                raise  # a fault of the service, not of the file
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
