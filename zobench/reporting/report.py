"""Writes one self-contained HTML page about many runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zobench.contracts.listener import Listener, Silence
from zobench.errors import ConfigError, NotARunError, StoreError
from zobench.files.location import Location
from zobench.records.stored_run import StoredRun, find_runs
from zobench.registry.discovery import Registry, load_registry

from .content import collect
from .rendering import render
from .sampling import sample

MANY = 500
"""Runs on one page above which it opens slowly."""


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: The HTML file.
        runs: Runs on it.
        megabytes: Its size.
    """

    path: Path
    runs: int
    megabytes: float


def write_report(
    places: Sequence[Location],
    out: Path,
    *,
    title: str,
    targets: Sequence[float],
    most: int | None = None,
    force: bool = False,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> Report:
    """Reads runs, or a sample of them, computes the content of the page, and writes it.

    Args:
        places: Run folders, and folders of run folders.
        out: The HTML file.
        title: Its title.
        targets: Recoveries that runtimes are measured to.
        most: At most so many runs, evenly of all optimizers; ``None`` for all.
        force: Whether to replace a page that is there.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.

    Raises:
        ConfigError: The page is there already, or runs do not go together.
        StoreError: A place holds no run, a run is damaged, or the page cannot be written.
    """
    listener, registry = listener or Silence(), registry or load_registry()
    if out.exists() and not force:
        raise ConfigError(f"{out} exists already; choose another name, or --force to replace it")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is not a folder")
    folders = there = find_runs(places)
    if most is not None:
        folders = sample(there, most)
    runs = _read(folders, registry, listener)
    listener.phase("compute", len({(run.problem, run.label) for run in runs}))
    content = collect(runs, targets, listener.update)
    if len(folders) < len(there):
        title += f" (a sample of {len(folders):,} of {len(there):,} runs)"
    try:
        out.write_text(render(title, content, runs), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    if most is None and len(runs) > MANY:
        listener.note(
            f"a page about {len(runs):,} runs is slow to open; --sample {MANY} makes a lighter one"
        )
    return Report(out, len(runs), out.stat().st_size / 1e6)


def _read(folders: Sequence[Location], registry: Registry, listener: Listener) -> list[StoredRun]:
    listener.phase("read runs", len(folders))
    runs = []
    for number, folder in enumerate(folders):
        with suppress(NotARunError):  # it went away meanwhile
            run = StoredRun(folder, registry)
            _ = run.manifest, run.resamples
            runs.append(run)
        listener.update(number + 1)
    return runs
