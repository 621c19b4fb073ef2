"""The hooks by which packages register plugins: optimizers, encoders, datasets, metrics, ...

A plugin is an installed package with an entry point in the group ``zobench`` that names a module.
The module implements one or more of these hooks. The built-in plugins use the same hooks.

Each hook returns plugins by name. Its docstring says how zobench calls the ``target`` of a plugin;
a target without an argument ``parameters`` is called with the first argument only.
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
def zobench_register_objectives() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Objectives; made as ``target(context, parameters)``, see ``zobench.contracts.objective``."""


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
    """Executors; made as ``target(request, parameters)``, see ``zobench.contracts.executor``."""


@hookspec
def zobench_register_pretrainings() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Recipes that pretrain bundled weights; made as ``target(request, parameters)``."""


@hookspec
def zobench_register_commands() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Commands ``zobench NAME``; ``target`` is a function with typer's annotations."""
