"""Runs a suite without pytest, for ``zobench plugin check``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zobench.errors import ConfigError
from zobench.registry.discovery import Kind, Registry

from .datasets import DatasetConformance
from .encoders import EncoderConformance
from .methods import MethodConformance
from .metrics import MetricConformance
from .objectives import ObjectiveConformance
from .optimizers import OptimizerConformance

SUITES: Mapping[Kind, type] = {
    "optimizers": OptimizerConformance,
    "encoders": EncoderConformance,
    "datasets": DatasetConformance,
    "objectives": ObjectiveConformance,
    "methods": MethodConformance,
    "metrics": MetricConformance,
}
"""The suite of each kind of plugin that has one."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: The requirement, in words.
        fault: The error and how to fix it; empty if the requirement holds.
    """

    what: str
    fault: str = ""


def requirements(suite: type) -> list[str]:
    """Names of the tests of a suite."""
    members = inspect.getmembers(suite, inspect.isfunction)
    return [name for name, _ in members if name.startswith("test_")]


def check(
    name: str,
    registry: Registry | None = None,
    kind: Kind = "optimizers",
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Finding]:
    """Checks a plugin, one requirement at a time.

    Args:
        name: The name of the plugin, as given to ``--optimizer`` or ``--encoder``.
        registry: The registry with the plugin; ``None`` for all installed plugins. Some
            requirements are checked in a fresh process, which must find the plugin too.
        kind: The kind of the plugin; one of :data:`SUITES`.
        settings: Attributes of the suite beside ``name``, such as a dataset's ``disease``.

    Raises:
        ConfigError: No plugin offers that name, a setting is wrong, or assertions are switched off.
    """
    if not __debug__:
        raise ConfigError(
            "checks are assertions, which python -O leaves out; run python without -O"
        )
    looked_up = {} if registry is None else {"registry": lambda _: registry}
    suite = type("Checked", (SUITES[kind],), {"name": name, **(settings or {}), **looked_up})()
    suite.registry().find(kind, name)
    if hasattr(suite, "prepare"):
        suite.prepare()
    for requirement in requirements(SUITES[kind]):
        yield _run(suite, requirement)


def _run(suite: object, requirement: str) -> Finding:
    what = requirement.removeprefix("test_").replace("_", " ")
    try:
        getattr(suite, requirement)()
    except AssertionError as error:
        return Finding(what, str(error) or "does not hold")
    except Exception as error:  # a plugin may fail in any way; all other checks still run
        return Finding(what, f"{type(error).__name__}: {error}")
    return Finding(what)
