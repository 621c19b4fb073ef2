"""The record by which a plugin package announces one thing, without importing anything heavy."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zobench.contracts.parameters import NoParameters, resolve
from zobench.errors import PluginError


@dataclass(frozen=True)
class Plugin:
    """One thing that a hook offers under one name.

    Attributes:
        target: The factory (a class or a function), or ``"package.module:name"``, which is imported
            only when used. The target of a metric is the metric itself.
        summary: One line for ``zobench list``; empty for a metric, which has its own.
        label: Text that ``zobench list`` shows beside the name, e.g. an optimizer's feedback level.
        argument: Kind of text that must follow the name after a colon, e.g. ``"model"`` in
            ``timm:<model>``; empty if nothing may follow.
        members: ``"package.module:function"`` that lists every text which may follow the colon,
            for ``zobench list KIND --all``; empty where they cannot be listed.
    """

    target: Any
    summary: str = ""
    label: str = ""
    argument: str = ""
    members: str = ""

    def load(self) -> Any:
        """The target itself.

        Raises:
            PluginError: It cannot be imported.
        """
        return _imported(self.target) if isinstance(self.target, str) else self.target

    def all_members(self) -> list[str]:
        """Every text that may follow the colon; empty where they cannot be listed."""
        return list(_imported(self.members)()) if self.members else []

    def parameters(self) -> type:
        """The dataclass that the target's argument ``parameters`` is annotated with.

        Raises:
            PluginError: The annotation is no dataclass.
        """
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

    def resolve(self, overrides: Mapping[str, object], owner: str) -> Any:
        """An instance of :meth:`parameters`, checked.

        Raises:
            ConfigError: An override is unknown or breaks its rule.
        """
        return resolve(self.parameters(), overrides, owner)

    def build(self, context: object, parameters: Any) -> Any:
        """Calls the target with a context and with parameters from :meth:`resolve`."""
        made = self.load()
        return made(context) if isinstance(parameters, NoParameters) else made(context, parameters)

    def make(self, context: object, overrides: Mapping[str, object], owner: str) -> Any:
        """:meth:`resolve`, then :meth:`build`.

        Raises:
            ConfigError: An override is unknown or breaks its rule.
        """
        return self.build(context, self.resolve(overrides, owner))


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{target!r}, which a plugin registered, cannot be loaded: "
            f"{type(error).__name__}: {error}; mend or uninstall that plugin"
        ) from error
