"""How a plugin announces what it offers, without importing anything heavy."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zobench.contracts.parameters import NoParameters, resolve
from zobench.errors import PluginError


@dataclass(frozen=True)
class Plugin:
    """One thing that a hook offers under one name.

    Attributes:
        target: The class, or ``"package.module:Class"``, which is imported only when used.
        summary: One line for ``zobench list``.
        label: What ``zobench list`` shows beside the name, e.g. an optimizer's feedback level.
        argument: What may follow the name after a colon, e.g. ``"model"`` in ``timm:<model>``;
            empty if nothing may.
        members: ``"package.module:function"`` that lists everything which may follow the colon,
            for ``zobench list KIND --all``; empty where that cannot be told.
    """

    target: str | Callable[..., Any]
    summary: str
    label: str = ""
    argument: str = ""
    members: str = ""

    def load(self) -> Callable[..., Any]:
        """The class itself."""
        if not isinstance(self.target, str):
            return self.target
        return _imported(self.target)

    def all_members(self) -> list[str]:
        """Everything that may follow the colon; empty where that cannot be told."""
        return list(_imported(self.members)()) if self.members else []

    def parameters(self) -> type:
        """The dataclass that the target's argument ``parameters`` is annotated with."""
        target = self.load()
        argument = inspect.signature(target).parameters.get("parameters")
        if argument is None:
            return NoParameters
        annotation = argument.annotation
        if isinstance(annotation, str):
            annotation = getattr(sys.modules[target.__module__], annotation, annotation)
        if not (isinstance(annotation, type) and dataclasses.is_dataclass(annotation)):
            raise PluginError(
                f"{self.target}: the argument 'parameters' is annotated {annotation!r}; it must be a "
                "dataclass whose fields are declared with zobench.parameter"
            )
        return annotation

    def make(self, context: object, overrides: Mapping[str, object], owner: str) -> Any:
        """An instance, with checked parameters.

        Raises:
            ConfigError: An override is unknown or breaks its rule.
        """
        declared = self.parameters()
        values = resolve(declared, overrides, owner)
        return self.load()(context) if declared is NoParameters else self.load()(context, values)


def _imported(target: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    try:
        loaded: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{target!r}, which a plugin registered, cannot be loaded: "
            f"{type(error).__name__}: {error}; mend or uninstall that plugin"
        ) from error
    return loaded
