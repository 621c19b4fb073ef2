"""The hooks through which anything is found: optimizers, encoders, datasets, methods and more.

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
    """Optimizers by name; made as ``target(context, parameters)``, see ``contracts.optimizer``."""


@hookspec
def zobench_register_encoders() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Encoders by name; made as ``target(request, parameters)``, see ``contracts.encoder``."""


@hookspec
def zobench_register_datasets() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Datasets by name; made as ``target(request, parameters)``, see ``contracts.dataset``."""


@hookspec
def zobench_register_methods() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Methods by name; made as ``target(context, parameters)``, see :mod:`zobench.contracts.method`."""


@hookspec
def zobench_register_trackers() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Experiment trackers, by name."""


@hookspec
def zobench_register_executors() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Engines for suites; made as ``target(request, parameters)``; :mod:`zobench.contracts.executor`."""


@hookspec
def zobench_register_pretrainings() -> Mapping[str, Plugin]:  # type: ignore[empty-body]
    """Recipes that reproduce bundled weights; run as ``target(request, parameters).run(progress)``."""
