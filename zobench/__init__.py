"""zobench: which black-box optimizer buys the most fairness per query?

From Python::

    import zobench

    result = zobench.run(optimizer="gezo", encoder="vit-mae", budget=6400)
    print(result.fpq.value, result.scores[-1].metrics["eo_p"])
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import RunConfig
from .contracts.metric import Metric
from .contracts.parameters import nearest, parameter
from .errors import (
    BudgetExhausted,
    ConfigError,
    DatasetError,
    EncoderError,
    Interrupted,
    PluginError,
    StoreError,
    ZobenchError,
)
from .registry.hooks import hookimpl
from .registry.plugin import Plugin

if TYPE_CHECKING:
    from .comparison.pairs import Comparison
    from .contracts.listener import Listener
    from .records.selection import Choice
    from .records.stored_run import StoredRun
    from .registry.discovery import Registry
    from .reporting.report import Report
    from .suite.suite_run import SuiteResult

__version__ = "0.1.0"

__all__ = [
    "BudgetExhausted",
    "ConfigError",
    "DatasetError",
    "EncoderError",
    "Interrupted",
    "Metric",
    "Plugin",
    "PluginError",
    "RunConfig",
    "StoreError",
    "ZobenchError",
    "compare",
    "hookimpl",
    "parameter",
    "report",
    "resume",
    "run",
    "run_suite",
    "show",
]

PathOrUrl = str | os.PathLike[str]
"""A path, or a URL such as ``s3://bucket/runs``."""


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]


def run(
    config: RunConfig | None = None,
    *,
    out: PathOrUrl = "runs",
    registry: Registry | None = None,
    listener: Listener | None = None,
    **fields: Any,
) -> StoredRun:
    """Carries out one run.

    Args:
        config: The config of the run; ``None`` to give its fields as keywords instead.
        out: Folder for run folders, or its URL.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        **fields: Fields of :class:`RunConfig`, such as ``optimizer="gezo"``; parameters go into
            ``overrides``, e.g. ``overrides={"optimizer": {"step": 0.02}}``.

    Returns:
        The finished run.

    Raises:
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .records.urls.copies import published
    from .runs.lifecycle import start_run

    if config is not None and fields:
        raise ConfigError("give zobench.run a config or keywords, not both")
    known = [each.name for each in dataclasses.fields(RunConfig)]
    for name in fields:
        if name not in known:
            raise ConfigError(
                f"zobench.run has no field {name!r}{nearest(name, known)}; known: {', '.join(known)}"
            )
    config = config or RunConfig(**fields)
    with published(os.fspath(out)) as folder:
        return start_run(config, folder, registry=registry, listener=listener)


def resume(
    folder: PathOrUrl,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> StoredRun:
    """Resumes an interrupted, failed or killed run; a finished run is only read.

    Args:
        folder: A run folder, or its URL.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.

    Raises:
        NotARunError: The folder is no run folder.
        ConfigError: The encoder, dataset, split, parameters, device or precision differ from those
            that the run began with.
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .records.urls.copies import published_run
    from .runs.lifecycle import resume_run

    with published_run(os.fspath(folder)) as place:
        return resume_run(place, registry=registry, listener=listener)


def show(folder: PathOrUrl, *, registry: Registry | None = None) -> StoredRun:
    """Reads a run folder, finished or not.

    Args:
        folder: A run folder, or its URL.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        NotARunError: It is no run folder.
        DamagedError: A file of the run is damaged or missing.
        StoreError: It cannot be read, or was written by another version of zobench.
    """
    from .records.stored_run import StoredRun
    from .records.urls.copies import fetch

    found = StoredRun(fetch(os.fspath(folder)), registry)
    found.require_whole()
    _ = found.scores
    return found


def run_suite(
    file: str | os.PathLike[str],
    *,
    out: PathOrUrl = "runs",
    jobs: int | None = None,
    executor: str = "local",
    settings: Mapping[str, Any] | None = None,
    trackers: Sequence[str] = (),
    data_root: str | os.PathLike[str] | None = None,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> SuiteResult:
    """Carries out the runs of a suite file that are not done yet.

    Args:
        file: The suite, in TOML; or the name of a suite that comes with zobench, such as
            ``"standard"``.
        out: Folder for run folders, or its URL.
        jobs: Number of runs carried out at the same time; ``None``: the executor chooses it.
        executor: Registered name of the executor that carries out the runs.
        settings: Parameters of the executor.
        trackers: Names of the trackers that receive the events of each run.
        data_root: Folder of the datasets for which the file names none.
        registry: Plugins; those of the installed packages if ``None``. Worker processes always use
            the plugins of the installed packages.
        listener: Receives the progress while the runs are planned.

    Returns:
        The status of every run; a failed run raises no error.

    Raises:
        ConfigError: The file is wrong; all problems are listed, and nothing was started.
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .suite.engine import Engine
    from .suite.named_suites import suite_file
    from .suite.suite_run import run_suite_file

    engine = Engine(executor, jobs, settings=settings or {})
    return run_suite_file(
        suite_file(os.fspath(file)),
        os.fspath(out),
        engine,
        trackers=trackers,
        data_root=Path(data_root) if data_root is not None else None,
        registry=registry,
        listener=listener,
    )


def compare(
    a: PathOrUrl,
    b: PathOrUrl | None = None,
    *,
    optimizer_a: str | None = None,
    optimizer_b: str | None = None,
    margins: Mapping[str, float] | None = None,
    where: Mapping[str, object] | None = None,
    registry: Registry | None = None,
) -> Comparison:
    """Tells whether the runs of B are better than those of A, paired by problem and seed.

    Args:
        a: The reference: a run folder, or a folder of runs; or its URL.
        b: The runs that may be better, as a folder or URL like ``a``; ``None`` for ``a`` itself.
        optimizer_a: Label of an optimizer; only its runs in A are compared.
        optimizer_b: Label of an optimizer; only its runs in B are compared.
        margins: By metric, the largest loss at which B still counts as no worse than A.
        where: Only runs with these values, e.g. ``{"budget": 6400}``.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: No finished run of A has a finished partner in B, or runs are not comparable.
        StoreError: ``a`` or ``b`` holds no run, or a run is damaged.
    """
    from .comparison.compare import compare_locations
    from .records.urls.copies import fetch

    locations = [fetch(os.fspath(each)) for each in (a, b if b is not None else a)]
    return compare_locations(
        *locations,
        optimizer_a=optimizer_a,
        optimizer_b=optimizer_b,
        margins=margins,
        choice=_choice(where),
        registry=registry,
    )


def _choice(where: Mapping[str, object] | None) -> Choice:
    from .records.selection import Choice, Where

    return Choice([Where.parsed(f"{key}={value}") for key, value in (where or {}).items()])


def report(
    runs: Sequence[PathOrUrl],
    out: str | os.PathLike[str] = "report.html",
    *,
    title: str = "zobench report",
    targets: Sequence[float] | None = None,
    most: int | None = None,
    where: Mapping[str, object] | None = None,
    force: bool = False,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> Report:
    """Writes one self-contained HTML page about many runs.

    Args:
        runs: Run folders, and folders of runs; or their URLs.
        out: Path of the HTML file.
        title: Title of the page.
        targets: Target values of recovery for the runtime analysis, increasing, each in (0, 1];
            ``None`` for 0.1, 0.25, 0.5 and 0.75.
        most: Largest number of runs on the page; a sample is spread evenly over optimizers and
            problems. ``None`` for all runs.
        where: Only runs with these values, e.g. ``{"budget": 6400}``.
        force: Whether to replace an existing file.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.

    Raises:
        ConfigError: The file exists already, or the runs cannot be shown on one page.
        StoreError: A folder holds no run, a run is damaged, or the page cannot be written.
    """
    from .records.urls.copies import fetch
    from .reporting.report import write_report
    from .suite.file import TARGETS

    return write_report(
        [fetch(os.fspath(each)) for each in runs],
        Path(out),
        title=title,
        targets=TARGETS if targets is None else targets,
        most=most,
        choice=_choice(where),
        force=force,
        registry=registry,
        listener=listener,
    )
