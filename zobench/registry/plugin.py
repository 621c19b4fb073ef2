"""The ``Plugin`` record that hooks return; it can delay the import of a plugin to its first use."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zobench.contracts.parameters import NoParameters, resolve
from zobench.errors import PluginError

from .failure import aside, plugin_code

INNER = "inner"
"""First word of the names of a wrapped plugin's parameters, as in ``optimizer.inner.step``."""

LOCAL = "local"
"""Last word of the owner of a borrowed encoder, as in ``optimizer.local``."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that a hook returns under a name: an optimizer, an encoder, a metric, ...

    Attributes:
        target: The factory (a class or a function), or its address ``"package.module:name"``, which
            is imported at the first use. The target of a metric is the ``Metric`` object or its
            address.
        summary: One line for ``zobench list``, and for the help of a command; empty for a metric,
            because ``Metric`` has its own summary.
        label: Text that ``zobench list`` shows beside the name, e.g. an optimizer's feedback level; of a
            command, the panel of the help that shows it.
        argument: Kind of text that follows the name after a colon, e.g. ``"model"`` in
            ``timm:<model>``; empty if nothing may follow.
        argument_needed: Whether the argument must be given; ``False`` for a family whose bare name is a
            member, such as ``vit-mae`` beside ``vit-mae:plain``.
        wraps: Whether the argument is the name of another optimizer, which the plugin gets as
            ``context.inner``; its parameters are set as ``optimizer.inner.NAME``.
        borrows: Whether an optimizer's argument is the name of an encoder on the user's own machine,
            which the plugin gets as ``context.local``.
        members: Address ``"package.module:function"`` of a function that returns every text that
            may follow the colon, for ``zobench list KIND --all``; empty if there is no such
            function.
        details: Address ``"package.module:function"`` of a function that returns facts about one
            argument, as (name, text) pairs, for ``zobench list KIND NAME:ARGUMENT``; empty if there is
            none.
        source: Where foreign code and weights come from, and their licence, for ``zobench list KIND
            NAME``; empty if there are none.
        outlook: Address ``"package.module:function"`` of a function that tells, from the argument and
            the parameters of an encoder that is a service, what is known before it is reached, as
            an ``EncoderOutlook``; empty for a local encoder.
        precheck: Address ``"package.module:function"`` of a function that raises for a wrong disease or
            folder of a dataset before the encoder is loaded: the errors that the dataset itself would
            raise. It gets the disease, the root (``None`` if none is given), the argument and the
            parameters; empty if there is none.
        advice: What an optimizer's users may try whose run found nothing, in one sentence; shown after
            the verdict.
    """

    target: Any
    summary: str = ""
    label: str = ""
    argument: str = ""
    argument_needed: bool = True
    wraps: bool = False
    borrows: bool = False
    members: str = ""
    details: str = ""
    source: str = ""
    outlook: str = ""
    precheck: str = ""
    advice: str = ""

    def takes(self, colon: str) -> bool:
        """Whether the bare name (``""``), or the name with a colon and an argument, is a member."""
        return bool(self.argument) if colon else not (self.argument and self.argument_needed)

    def load(self) -> Any:
        """Returns the target, imported if it is an address.

        Raises:
            PluginError: The target cannot be imported.
        """
        return _imported(self.target) if isinstance(self.target, str) else self.target

    def all_members(self) -> list[str]:
        """Every text that may follow the colon; empty if the plugin has no ``members``."""
        if not self.members:
            return []
        members = _imported(self.members)
        with plugin_code():
            return list(members())

    def all_details(self, argument: str) -> list[tuple[str, str]]:
        """Facts about one argument; empty if the plugin has no ``details``.

        Raises:
            ConfigError: The plugin refuses the argument.
        """
        if not self.details:
            return []
        details = _imported(self.details)
        with plugin_code():
            return list(details(argument))

    def known_before(self, argument: str, parameters: Any) -> Any:
        """What is known of a service before it is reached; ``None`` for a local encoder."""
        if not self.outlook:
            return None
        outlook = _imported(self.outlook)
        with plugin_code():
            return outlook(argument, parameters)

    def precheck_dataset(
        self, disease: str, root: Path | None, argument: str, parameters: Any
    ) -> None:
        """Carries out the ``precheck`` of a dataset, if it has one.

        Raises:
            ConfigError: The dataset refuses the request.
            DatasetError: A file of the dataset is missing or wrong.
        """
        if self.precheck:
            precheck = _imported(self.precheck)
            with plugin_code():
                precheck(disease, root, argument, parameters)

    def parameters(self) -> type:
        """The dataclass of the target's parameters: the annotation of its argument ``parameters``.

        Returns:
            ``NoParameters`` if the target has no such argument.

        Raises:
            PluginError: The target cannot be imported, or the annotation is not a dataclass.
        """
        target = self.load()
        argument = inspect.signature(target).parameters.get("parameters")
        if argument is None:
            return NoParameters
        annotation = argument.annotation
        if isinstance(annotation, str):
            annotation = getattr(sys.modules[target.__module__], annotation, annotation)
        if not (isinstance(annotation, type) and dataclasses.is_dataclass(annotation)):
            bare = annotation is inspect.Parameter.empty
            state = "has no annotation" if bare else f"is annotated {annotation!r}"
            raise PluginError(
                f"{self.target}: the argument 'parameters' {state}; it must be annotated with a "
                "dataclass whose fields are declared with zobench.parameter"
            )
        return annotation

    def resolve(self, overrides: Mapping[str, object], owner: str) -> Any:
        """Checks overrides, and makes the parameters: an instance of :meth:`parameters`.

        Raises:
            ConfigError: An override is unknown or breaks its rule.
        """
        return resolve(self.parameters(), overrides, owner)

    def build(self, context: object, parameters: Any) -> Any:
        """Calls the target with a context and the parameters from :meth:`resolve`.

        ``NoParameters`` is not passed: the target then gets the context only.

        Raises:
            RunFailure: The target raised an exception that zobench does not know.
        """
        make = self.load()
        with plugin_code():
            if isinstance(parameters, NoParameters):
                return make(context)
            return make(context, parameters)

    def make(self, context: object, overrides: Mapping[str, object], owner: str) -> Any:
        """Calls :meth:`resolve` and then :meth:`build`.

        Raises:
            ConfigError: An override is unknown or breaks its rule.
        """
        return self.build(context, self.resolve(overrides, owner))


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        with aside():
            return getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the code of a plugin may raise anything
        raise PluginError(
            f"the plugin address {target!r} cannot be loaded: "
            f"{type(error).__name__}: {error}; mend or uninstall that plugin"
        ) from error
