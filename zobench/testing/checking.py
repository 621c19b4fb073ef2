"""Runs a suite without pytest, for ``zobench plugin check``."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zobench.errors import ConfigError, ZobenchError
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
        crashed: Whether the plugin raised an exception or broke the contract so that nothing else can be
            checked.
    """

    what: str
    fault: str = ""
    crashed: bool = False


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
    """Checks a plugin, one requirement at a time, until it holds all of them or crashes.

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
    offer, _ = suite.registry().find(kind, name)
    code = Path(getattr(sys.modules.get(offer.plugin.load().__module__), "__file__", "") or "")
    if hasattr(suite, "prepare"):
        suite.prepare()
    first = getattr(suite, "first", "")
    for requirement in sorted(requirements(SUITES[kind]), key=lambda other: other != first):
        outcome = _run(suite, requirement, code)
        yield outcome
        if outcome.crashed:
            break
    if hasattr(suite, "teardown_class"):
        closing = _run(suite, "teardown_class", code)
        if closing.fault:
            yield replace(closing, what="it closes without an error")


def _run(suite: object, requirement: str, code: Path) -> Finding:
    what = requirement.removeprefix("test_").replace("_", " ")
    try:
        getattr(suite, requirement)()
    except AssertionError as error:
        return Finding(what, str(error) or "does not hold")
    except Exception as error:  # a plugin may fail in any way
        return Finding(what, _told(error, code), crashed=True)
    return Finding(what)


def _told(error: Exception, code: Path) -> str:
    """The error, the plugin's line that it came from, and a hint where a signature is wrong.

    Args:
        error: What was raised.
        code: The file of the plugin.
    """
    if isinstance(error, ZobenchError):
        return str(error)
    text = "".join(
        traceback.TracebackException.from_exception(error).format_exception_only()
    ).strip()
    own = code.parent if code.name == "__init__.py" else code
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if own in (Path(frame.filename), *Path(frame.filename).parents)
    ]
    if frames:
        last = frames[-1]
        text += f"\n{Path(last.filename).name}, line {last.lineno}: {last.line}"
    elif isinstance(error, TypeError) and "argument" in text:
        text += (
            "\nthe signature is another one than the contract's: compare with zobench plugin new, or "
            "docs/reference/contracts.md"
        )
    return text
