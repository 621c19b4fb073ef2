"""zobench: which black-box optimizer buys the most fairness per query?

From Python::

    import zobench

    result = zobench.run(optimizer="gezo", encoder="vit-mae", budget=6400)
    print(result.fpq.value, result.scores[-1].metrics["eo_p"])
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .config import RunConfig
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
    from .contracts.listener import Listener
    from .records.result import RunResult
    from .registry.discovery import Registry

__version__ = "0.1.0"

__all__ = [
    "BudgetExhausted",
    "ConfigError",
    "DatasetError",
    "EncoderError",
    "Interrupted",
    "Plugin",
    "PluginError",
    "RunConfig",
    "StoreError",
    "ZobenchError",
    "hookimpl",
    "parameter",
    "resume",
    "run",
    "show",
]


def run(
    config: RunConfig | None = None,
    *,
    out: str | os.PathLike[str] = "runs",
    registry: Registry | None = None,
    listener: Listener | None = None,
    **fields: Any,
) -> RunResult:
    """Carries out one run and returns what it found.

    Args:
        config: What to run; or give the fields of :class:`RunConfig` as keywords.
        out: Folder for run folders, or its URL.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.
        **fields: Fields of :class:`RunConfig`, such as ``optimizer="gezo"``.

    Raises:
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .records.urls.copies import naming, published
    from .runs.lifecycle import start_run

    if config is not None and fields:
        raise ConfigError("give zobench.run a config or keywords, not both")
    try:
        config = config or RunConfig(**fields)
    except TypeError as error:
        raise ConfigError(f"zobench.run: {error}") from error
    with naming(), published(os.fspath(out)) as folder:
        return start_run(config, folder, registry=registry, listener=listener)


def resume(
    folder: str | os.PathLike[str],
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Goes on with an interrupted run; a finished one is only read.

    Args:
        folder: A run folder, or its URL.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.

    Raises:
        NotARunError: It is no run folder.
        ConfigError: Encoder, data or parameters are not what they were when it began.
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .records.urls.copies import naming, published_run
    from .runs.lifecycle import resume_run

    with naming(), published_run(os.fspath(folder)) as path:
        return resume_run(path, registry=registry, listener=listener)


def show(folder: str | os.PathLike[str]) -> RunResult:
    """Reads a run folder, finished or not.

    Args:
        folder: A run folder, or its URL.

    Raises:
        NotARunError: It is no run folder.
        StoreError: It is damaged, or was written by a newer zobench.
    """
    from .records.result import read_result
    from .records.urls.copies import fetch, naming

    with naming():
        return read_result(fetch(os.fspath(folder)))
