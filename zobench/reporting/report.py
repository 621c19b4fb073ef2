"""Writes one self-contained HTML page about many runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from zobench.contracts.listener import Listener, Silence
from zobench.errors import NotARunError
from zobench.files.atomic import require_free
from zobench.files.location import Location
from zobench.records.run_search import find_runs
from zobench.records.selection import ANY, Choice, cautions, most_finished, without_repetitions
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .content import collect
from .rendering import render, write_page
from .sampling import sample

MANY = 500
"""Number of runs above which the page opens slowly and the user gets a note."""


@dataclass(frozen=True)
class Report:
    """The result of :func:`write_report`: the page that was written.

    Attributes:
        path: The HTML file.
        runs: Number of runs on the page.
        megabytes: Size of the file in megabytes.
    """

    path: Path
    runs: int
    megabytes: float


def write_report(
    locations: Sequence[Location],
    out: Path,
    *,
    title: str,
    targets: Sequence[float],
    most: int | None = None,
    choice: Choice = ANY,
    force: bool = False,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> Report:
    """Reads runs, or a sample of them, and writes a report page about them.

    Args:
        locations: Run folders, and folders of run folders.
        out: The HTML file.
        title: Title of the page.
        targets: Target recoveries of ERT, success rates and runtimes.
        most: Largest number of runs on the page, sampled evenly over optimizers and problems; all
            runs if ``None``.
        choice: Which runs are meant.
        force: Whether to replace an existing file.
        registry: The registered plugins; all installed plugins if ``None``.
        listener: Receives progress and notes; nobody is notified if ``None``.

    Raises:
        ConfigError: The file exists and ``force`` is not set, its folder does not exist, ``most``
            is too small, or no run fulfils the conditions.
        StoreError: A location holds no run, a run is damaged, or the page cannot be written.
    """
    listener, registry = listener or Silence(), registry or load_registry()
    require_free(out, force=force)
    there, notes = _chosen(find_runs(locations), choice, registry, listener)
    folders = there if most is None else sample(there, most)
    runs = _read(folders, registry, listener)
    listener.phase("compute statistics", len({(run.problem, run.label) for run in runs}))
    content = collect(runs, targets, listener.update)
    care = [*cautions(runs), *_uneven_seeds(runs)]
    for sentence in care:
        listener.note(sentence)
    for name, sentences in (("left out", notes), ("with care", care)):
        if sentences:
            content = replace(content, facts=(*content.facts, (name, "; ".join(sentences))))
    if len(folders) < len(there):
        title += f" (a sample of {len(folders):,} of {len(there):,} runs)"
    write_page(out, render(title, content, runs))
    if most is None and len(runs) > MANY:
        listener.note(
            f"a page about {len(runs):,} runs is slow to open; --sample {MANY} makes a smaller page"
        )
    return Report(out, len(runs), out.stat().st_size / 1e6)


def _chosen(
    folders: Sequence[Location], choice: Choice, registry: Registry, listener: Listener
) -> tuple[list[Location], list[str]]:
    """The runs that are meant and can be shown together, and a sentence on each group left out.

    Only manifests are read.
    """
    runs = []
    for folder in folders:
        with suppress(NotARunError):  # the run folder was deleted meanwhile
            run = StoredRun(folder, registry)
            _ = run.manifest
            runs.append(run)
    kept, notes = most_finished(choice.of(runs))
    once, more = without_repetitions(kept)
    for sentence in (*notes, *more):
        listener.note(sentence)
    return [run.location for run in once], [*notes, *more]


def _uneven_seeds(runs: Sequence[StoredRun]) -> list[str]:
    """A sentence on each problem whose optimizers have finished runs of different seeds."""
    seeds: dict[str, dict[str, set[int]]] = {}
    for run in runs:
        if run.done:
            seeds.setdefault(run.problem, {}).setdefault(run.label, set()).add(run.config.seed)
    return [
        f"{problem}: optimizers have runs of different seeds, and each row is the mean over its own"
        for problem, by_label in seeds.items()
        if len(set(map(frozenset, by_label.values()))) > 1
    ]


def _read(folders: Sequence[Location], registry: Registry, listener: Listener) -> list[StoredRun]:
    listener.phase("read runs", len(folders))
    runs = []
    for number, folder in enumerate(folders):
        with suppress(NotARunError):  # the run folder was deleted meanwhile
            run = StoredRun(folder, registry)
            _ = run.manifest, run.results
            runs.append(run)
        listener.update(number + 1)
    return runs
