"""zobench: which black-box optimizer buys the most fairness per query?

From Python::

    import zobench

    result = zobench.run(optimizer="gezo", encoder="vit-mae", budget=6400)
    print(result.fpq.value, result.scores[-1].metrics["eo_p"])
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import RunConfig
from .contracts.metric import Metric
from .contracts.parameters import parameter
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
        config: The request; or give the fields of :class:`RunConfig` as keywords.
        out: Folder for run folders, or its URL.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.
        **fields: Fields of :class:`RunConfig`, such as ``optimizer="gezo"``.

    Returns:
        The finished run.

    Raises:
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .records.urls.copies import published
    from .runs.lifecycle import start_run

    if config is not None and fields:
        raise ConfigError("give zobench.run a config or keywords, not both")
    try:
        config = config or RunConfig(**fields)
    except TypeError as error:
        raise ConfigError(f"zobench.run: {error}") from error
    with published(os.fspath(out)) as folder:
        return start_run(config, folder, registry=registry, listener=listener)


def resume(
    folder: PathOrUrl,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> StoredRun:
    """Goes on with an interrupted run; a finished one is only read.

    Args:
        folder: A run folder, or its URL.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.

    Raises:
        NotARunError: It is no run folder.
        ConfigError: Encoder, data or parameters are not the ones that the run began with.
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
        StoreError: It is damaged, or was written by a newer zobench.
    """
    from .records.stored_run import StoredRun
    from .records.urls.copies import fetch

    found = StoredRun(fetch(os.fspath(folder)), registry)
    _ = found.manifest, found.scores
    return found


def run_suite(
    file: str | os.PathLike[str],
    *,
    out: PathOrUrl = "runs",
    jobs: int | None = None,
    executor: str = "local",
    settings: Mapping[str, Any] | None = None,
    trackers: Sequence[str] = (),
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> SuiteResult:
    """Carries out the missing runs of a suite file.

    Args:
        file: The suite, in TOML.
        out: Folder for run folders, or its URL.
        jobs: Runs at a time; ``None`` to leave the number to the executor.
        executor: Where runs are carried out, as registered.
        settings: Parameters of the executor.
        trackers: Names of trackers to be told of each run.
        registry: Plugins; those of the installed packages if ``None``. Worker processes find the
            installed ones.
        listener: Told of progress while runs are planned.

    Returns:
        How every run stands; a failed run is no error.

    Raises:
        ConfigError: The file is wrong; all problems are listed, and nothing was started.
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .suite.engine import Engine
    from .suite.suite_run import run_suite_file

    engine = Engine(executor, jobs, settings=settings or {})
    return run_suite_file(
        Path(file),
        os.fspath(out),
        engine,
        trackers=trackers,
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
    registry: Registry | None = None,
) -> Comparison:
    """Tells whether the runs of B are better than those of A, paired by problem and seed.

    Args:
        a: A run folder, or a folder of runs; or its URL.
        b: Likewise; ``a`` if ``None``.
        optimizer_a: Only runs of the optimizer with this label in A.
        optimizer_b: Only runs of the optimizer with this label in B.
        margins: By metric, the loss at which B is still no worse.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: There is nothing to compare, or runs differ in a condition.
        StoreError: A place holds no run, or a run is damaged.
    """
    from .comparison.compare import compare_places
    from .records.urls.copies import fetch

    places = [fetch(os.fspath(each)) for each in (a, b if b is not None else a)]
    return compare_places(
        *places,
        optimizer_a=optimizer_a,
        optimizer_b=optimizer_b,
        margins=margins,
        registry=registry,
    )


def report(
    runs: Sequence[PathOrUrl],
    out: str | os.PathLike[str] = "report.html",
    *,
    title: str = "zobench report",
    targets: Sequence[float] = (0.1, 0.25, 0.5, 0.75),
    most: int | None = None,
    force: bool = False,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> Report:
    """Writes one self-contained HTML page about many runs.

    Args:
        runs: Run folders, and folders of runs; or their URLs.
        out: The page.
        title: Its title.
        targets: Recoveries that runtimes are measured to, increasing, each in (0, 1].
        most: At most so many runs, evenly of all optimizers; ``None`` for all.
        force: Whether to replace a page that is there.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.

    Raises:
        ConfigError: The page is there already, or runs do not go together.
        StoreError: A place holds no run, a run is damaged, or the page cannot be written.
    """
    from .records.urls.copies import fetch
    from .reporting.report import write_report

    return write_report(
        [fetch(os.fspath(each)) for each in runs],
        Path(out),
        title=title,
        targets=targets,
        most=most,
        force=force,
        registry=registry,
        listener=listener,
    )
