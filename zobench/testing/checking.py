"""Runs a suite without pytest, for ``zobench plugin check``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from zobench.errors import ConfigError
from zobench.registry.discovery import Registry

from .optimizers import OptimizerConformance


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: The requirement, in words.
        fault: The error and how to fix it; empty if the requirement holds.
    """

    what: str
    fault: str = ""


def check(name: str, registry: Registry | None = None) -> Iterator[Finding]:
    """Checks an optimizer, one requirement at a time.

    Args:
        name: The name of the optimizer, as given to ``--optimizer``.
        registry: The registry with the optimizer; ``None`` for all installed plugins. Some
            requirements are checked in a fresh process, which must find the optimizer too.

    Raises:
        ConfigError: No plugin offers that optimizer, or assertions are switched off.
    """
    if not __debug__:
        raise ConfigError(
            "checks are assertions, which python -O leaves out; run python without -O"
        )
    looked_up = {} if registry is None else {"registry": lambda _: registry}
    suite = type("Checked", (OptimizerConformance,), {"name": name, **looked_up})()
    suite.registry().find("optimizers", name)
    for method, _ in inspect.getmembers(OptimizerConformance, inspect.isfunction):
        if method.startswith("test_"):
            yield _run(suite, method)


def _run(suite: OptimizerConformance, method: str) -> Finding:
    what = method.removeprefix("test_").replace("_", " ")
    try:
        getattr(suite, method)()
    except AssertionError as error:
        return Finding(what, str(error) or "does not hold")
    except Exception as error:  # a plugin may fail in any way; all other checks still run
        return Finding(what, f"{type(error).__name__}: {error}")
    return Finding(what)
