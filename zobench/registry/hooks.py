"""The hooks through which optimizers, encoders, datasets, metrics and all other plugins are found.

A plugin is an installed package with an entry point in the group ``zobench`` that names a module;
the module implements any of these hooks. Built-ins register in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from .plugin import Plugin

PROJECT = "zobench"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def zobench_register_optimizers() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Optimizers; made as ``target(context, parameters)``, see ``zobench.contracts.optimizer``."""


@hookspec
def zobench_register_encoders() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Encoders; made as ``target(request, parameters)``, see ``zobench.contracts.encoder``."""


@hookspec
def zobench_register_datasets() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Datasets; made as ``target(request, parameters)``, see ``zobench.contracts.dataset``."""


@hookspec
def zobench_register_methods() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Methods; made as ``target(context, parameters)``, see ``zobench.contracts.method``."""


@hookspec
def zobench_register_metrics() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Metrics; ``target`` is a :class:`zobench.contracts.metric.Metric` of the registered name."""


@hookspec
def zobench_register_trackers() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Trackers; made as ``target(request)``, see ``zobench.contracts.tracker``."""


@hookspec
def zobench_register_executors() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Engines; made as ``target(request, parameters)``, see ``zobench.contracts.executor``."""


@hookspec
def zobench_register_pretrainings() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Recipes of bundled weights; made as ``target(request, parameters)``."""


@hookspec
def zobench_register_commands() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Commands ``zobench NAME``; ``target`` is a function with typer's annotations."""
