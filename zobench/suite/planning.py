"""From a suite to jobs: every run is checked, and found on disk if it was begun before."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.contracts.run_status import RunStatus
from zobench.errors import ServiceError, ZobenchError
from zobench.files.location import Location
from zobench.records.identity import identity
from zobench.records.layout import run_folders
from zobench.records.manifest import read_manifest
from zobench.records.standing import is_done
from zobench.records.urls.copies import is_published
from zobench.registry.discovery import Registry
from zobench.runs.lifecycle import slug
from zobench.runs.parts import resolve_plugin
from zobench.runs.shared_parts import SharedParts

from .file import Problems, Suite


@dataclass(frozen=True)
class Job:
    """One run of a suite and its folder.

    Attributes:
        config: The request.
        folder: The run folder on this machine, there or not.
        identity: See :func:`zobench.records.identity.identity`.
        trackers: Names of trackers to be told of the run.
        url: URL that the run is published to; empty if it stays where it is.
    """

    config: RunConfig = field(compare=False)
    folder: Path
    identity: str
    trackers: tuple[str, ...] = ()
    url: str = ""

    @property
    def location(self) -> Location:
        """The run folder, under the name that messages show."""
        return Location(self.folder, f"{self.url}/{self.folder.name}" if self.url else "")

    @property
    def done(self) -> bool:
        """Whether nothing is left to do: the run is finished, and published if it has a URL."""
        return is_done(self.folder) and (not self.url or is_published(self.folder))


def plan(
    suite: Suite,
    path: Path,
    out: Path,
    registry: Registry,
    listener: Listener,
    problems: Problems | None = None,
) -> list[Job]:
    """Checks every run of a suite and finds its folder, or names a new one.

    Args:
        suite: The runs.
        path: The suite's file, for messages.
        out: Folder of run folders.
        registry: Installed plugins.
        listener: Told of parts that take long.
        problems: Problems of the file that were found before.

    Raises:
        ConfigError: Some run cannot be carried out; all problems are listed.
    """
    problems = Problems() if problems is None else problems
    for entry in suite.entries:  # so that all are told, whatever else keeps runs from being made
        try:
            resolve_plugin(entry.owner, entry.name, entry.set, registry)
        except ZobenchError as error:
            problems.append(str(error))
    there = runs_by_identity(run_folders(out))
    jobs: list[Job] = []
    known: dict[str, RunConfig] = {}
    with SharedParts(registry, listener) as shared:
        for config in suite.configs:
            try:
                name = shared.identity(config)
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
    """The folder of the run with an identity, there or not."""
    return runs_by_identity(run_folders(out)).get(name, _fresh(config, name, out))


def _fresh(config: RunConfig, name: str, out: Path) -> Path:
    return out / f"{slug(config)}-{name[:10]}"


def runs_by_identity(paths: Iterable[Path]) -> dict[str, Path]:
    """Folders by identity; of two equal runs the one that got further."""
    found: dict[str, tuple[bool, Path]] = {}
    for path in paths:
        with suppress(ZobenchError, KeyError):  # a stranger's folder is none of ours
            manifest = read_manifest(path)
            name, done = identity(manifest), manifest.status is RunStatus.DONE
            if name not in found or (done and not found[name][0]):
                found[name] = (done, path)
    return {name: path for name, (_, path) in found.items()}
