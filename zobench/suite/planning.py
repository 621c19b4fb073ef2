"""Plans the jobs of a suite: checks every run and finds its folder if the run exists."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.contracts.run_status import RunStatus
from zobench.errors import RunFailure, ServiceError, StoreError, ZobenchError
from zobench.files.location import Location
from zobench.records.comparability import differing_values
from zobench.records.identity import identity, slug
from zobench.records.layout import run_folders
from zobench.records.manifest import read_manifest
from zobench.records.standing import is_done
from zobench.records.urls.copies import is_published
from zobench.registry.discovery import Registry
from zobench.runs.resolved import resolve_config, resolve_plugin
from zobench.runs.shared_parts import SharedParts

from .file import Problems, Suite


@dataclass(frozen=True)
class Job:
    """One run of a suite and its folder.

    Attributes:
        config: The config of the run.
        folder: The run folder on this machine; it may not exist yet.
        identity: The identity of the run; see :func:`zobench.records.identity.identity`.
        trackers: Names of the trackers that receive the run.
        url: URL that the run is published to; empty if the run is not published.
    """

    config: RunConfig = field(compare=False)
    folder: Path
    identity: str
    trackers: tuple[str, ...] = ()
    url: str = ""

    @property
    def location(self) -> Location:
        """The run folder, with the name that messages show."""
        return Location(self.folder, f"{self.url}/{self.folder.name}" if self.url else "")

    @property
    def done(self) -> bool:
        """Whether the run is done, and is published if the job has a URL."""
        return is_done(self.location) and (not self.url or is_published(self.folder))


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
        suite: The suite.
        path: The suite's file, for messages.
        out: Folder of run folders.
        registry: Installed plugins.
        listener: Receives the progress of slow parts.
        problems: Problems that :func:`read_suite` found in the file.

    Raises:
        ConfigError: Some run cannot be carried out. All problems are listed; those that can be seen only
            with the encoder or the dataset at hand are in a list of their own, once there are no others.
    """
    problems = Problems() if problems is None else problems
    require_sound(suite, path, registry, problems)
    there = runs_by_identity(run_folders(out))
    jobs: list[Job] = []
    configs: dict[str, RunConfig] = {}
    with SharedParts(registry, listener) as shared:
        for config in suite.configs:
            try:
                name = shared.identity(config)
            except ServiceError:
                raise  # a fault of the service, not of the file
            except RunFailure:  # of a plugin: the run will fail, and the others go on
                name = hashlib.blake2b(repr(config).encode(), digest_size=16).hexdigest()
            except ZobenchError as error:
                problems.append(str(error))
                continue
            if name in configs:
                problems.append(_twice(config, configs[name]))
            configs[name] = config
            jobs.append(Job(config, there.get(name, _fresh(config, name, out)), name))
    problems.raise_if_any(path)
    return jobs


def require_sound(suite: Suite, path: Path, registry: Registry, problems: Problems) -> None:
    """Refuses a suite for what can be told without loading an encoder or reading a dataset.

    Args:
        suite: The suite.
        path: The suite's file, for messages.
        registry: Installed plugins.
        problems: Problems that :func:`read_suite` found in the file.

    Raises:
        ConfigError: The file has problems, a name or parameter is wrong, or a run is declared twice; all
            problems are listed.
    """
    for entry in suite.entries:  # reports all unknown plugins, also of entries without runs
        try:
            resolve_plugin(entry.owner, entry.name, entry.set, registry)
        except ZobenchError as error:
            problems.append(str(error))
    declared: dict[str, RunConfig] = {}
    for config in suite.configs:
        try:
            resolved = resolve_config(config, registry)
        except RunFailure:
            continue  # of a plugin: the run will fail, and the others go on
        except ZobenchError as error:
            problems.append(str(error))
            continue
        owners = (resolved.optimizer, resolved.encoder, resolved.dataset, resolved.objective)
        plain = {**config.canonical(), "overrides": ""}
        # with the parameters that only the encoder's digest tells apart, such as an address
        other = declared.setdefault(repr((plain, owners, resolved.split)), config)
        if other is not config:
            problems.append(_twice(config, other))
    problems.raise_if_any(path)


def _twice(config: RunConfig, other: RunConfig) -> str:
    this, that = differing_values(*map(_flat, (config, other)))
    return (
        f"{config.optimizer} with seed {config.seed} is declared twice, with what comes to the same: "
        f"{this} / {that}"
    )


def _flat(config: RunConfig) -> dict[str, Any]:
    """The values of a config by name, parameters as ``owner.name``."""
    fields = {**config.as_dict(), "overrides": None}
    for owner, values in config.overrides.items():
        fields |= {f"{owner}.{name}": value for name, value in values.items()}
    return fields


def tell_of_cuts(jobs: Iterable[Job], listener: Listener) -> None:
    """A note on each finished run that a limit ended which the suite has no longer, or has larger.

    Args:
        jobs: The jobs, with the URL that their runs are published to.
        listener: Receives the notes.
    """
    for job in jobs:
        try:
            if not is_done(job.folder):
                continue
            manifest = read_manifest(job.folder)
        except StoreError:  # told when the jobs are carried out
            continue
        limit = manifest.cut_by
        if not limit:
            continue
        before, now = (getattr(config, limit) for config in (manifest.config, job.config))
        if not before or 0 < now <= before:
            continue
        value = f"{now:g}s" if limit == "max_time" and now else f"{now:g}"
        target = "COPY" if job.url else shlex.quote(str(job.location))
        command = f"zobench resume {target} --{limit.replace('_', '-')} {value}"
        first = "copy it to a local folder and go on with the copy" if job.url else "go on with it"
        listener.note(
            f"{job.location} counts as done, but {limit} {before:g} ended it after "
            f"{manifest.ledger['optimize']['queries']:,} queries; {first}: {command}"
        )


def place(config: RunConfig, name: str, out: Path) -> Path:
    """The folder of the run with identity ``name``; a new path if no such run exists."""
    return runs_by_identity(run_folders(out)).get(name, _fresh(config, name, out))


def _fresh(config: RunConfig, name: str, out: Path) -> Path:
    return out / f"{slug(config)}-{name[:10]}"


def runs_by_identity(paths: Iterable[Path]) -> dict[str, Path]:
    """Run folders by identity; of two runs with one identity, one that is done comes first.

    Of those that are done, one that no limit of time or cost ended comes first.
    """
    runs: dict[str, tuple[tuple[bool, bool], Path]] = {}
    for path in paths:
        with suppress(ZobenchError, KeyError):  # skip folders that hold no readable run
            manifest = read_manifest(path)
            name, done = identity(manifest), manifest.status is RunStatus.DONE
            rank = (done, done and not manifest.cut_by)
            if name not in runs or rank > runs[name][0]:
                runs[name] = (rank, path)
    return {name: path for name, (_, path) in runs.items()}
