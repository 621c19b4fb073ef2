"""Finds plugins and answers for their names; mistakes name the distribution at fault."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import pluggy

from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError, PluginError

from . import hooks as hookspecs
from .plugin import Plugin

Kind = Literal[
    "optimizers", "encoders", "datasets", "methods", "trackers", "executors", "pretrainings"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREFIX = "zobench_register_"


@dataclass(frozen=True)
class Offer:
    """A plugin and the distribution that brought it."""

    name: str
    plugin: Plugin
    distribution: str


@dataclass(frozen=True)
class Registry:
    """Everything that was registered, by kind and name."""

    offers: Mapping[Kind, Mapping[str, Offer]]

    def distributions(self) -> dict[str, str]:
        """Versions of zobench and of every distribution that brought a plugin."""
        found = {offer.distribution for kind in self.offers.values() for offer in kind.values()}
        return {name: distribution_version(name) for name in sorted({"zobench", *found})}

    def find(self, kind: Kind, name: str) -> tuple[Offer, str]:
        """The offer behind a name as typed, and the argument after its colon.

        Raises:
            ConfigError: Nobody offers it, or its argument is missing or not allowed.
        """
        known = self.offers[kind]
        base, colon, argument = name.partition(":")
        what = kind[:-1]
        if base not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ConfigError(
                f"{what} {name!r} is not known{nearest(base, known)}; known: {names} "
                f"(see: zobench list {kind})"
            )
        offer = known[base]
        if offer.plugin.argument and not argument:
            raise ConfigError(
                f"{what} {base!r} needs a {offer.plugin.argument}: {base}:<{offer.plugin.argument}>"
            )
        if colon and not offer.plugin.argument:
            raise ConfigError(f"{what} {base!r} takes nothing after a colon, but got {argument!r}")
        return offer, argument


def load_registry(entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> Registry:
    """Loads every entry point of the group ``zobench`` and collects what its hooks offer.

    Raises:
        PluginError: A plugin cannot be imported, misspells a hook, or takes a name already taken.
    """
    distribution_version.cache_clear()  # something may have been installed meanwhile
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
    sources: dict[str, str] = {}
    for entry_point in sorted(entry_points, key=lambda e: (_distribution(e), e.name)):
        source = _distribution(entry_point)
        try:
            module = entry_point.load()
        except Exception as error:
            raise PluginError(
                f"the plugin {entry_point.name!r} of distribution {source!r} cannot be imported: "
                f"{type(error).__name__}: {error}; mend it, or uninstall {source} if it is installed"
            ) from error
        _check_hooks(module, entry_point.name, source)
        name = f"{source}:{entry_point.name}"
        manager.register(module, name=name)
        sources[name] = source
    return Registry({kind: _collect(manager, kind, sources) for kind in KINDS})


@cache
def distribution_version(name: str) -> str:
    """Version of an installed distribution; ``unknown`` where there is none of that name."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _distribution(entry_point: importlib.metadata.EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "unknown"


def _check_hooks(module: object, name: str, source: str) -> None:
    """A function that looks like a hook must be one, or it would disappear in silence."""
    hooks = [f"{PREFIX}{kind}" for kind in KINDS]
    marker = f"{hookspecs.PROJECT}_impl"
    for attribute in dir(module):
        value = getattr(module, attribute)
        looks_like_one = attribute.startswith(f"{hookspecs.PROJECT}_") and callable(value)
        if not looks_like_one and not hasattr(value, marker):
            continue
        if attribute not in hooks:
            raise PluginError(
                f"the plugin {name!r} of distribution {source!r} implements {attribute!r}, which is "
                f"no hook{nearest(attribute, hooks)}"
            )
        if not hasattr(value, marker):
            raise PluginError(
                f"{attribute!r} in the plugin {name!r} of distribution {source!r} lacks the "
                "@zobench.hookimpl decorator, so it would be ignored"
            )


def _collect(
    manager: pluggy.PluginManager, kind: Kind, sources: Mapping[str, str]
) -> dict[str, Offer]:
    found: dict[str, Offer] = {}
    caller = getattr(manager.hook, f"{PREFIX}{kind}")
    for implementation in caller.get_hookimpls():
        source = sources[implementation.plugin_name]
        for name, plugin in _offers(implementation, kind, source).items():
            if name in found:
                raise PluginError(
                    f"two distributions register the {kind[:-1]} {name!r}: "
                    f"{found[name].distribution} and {source}; uninstall one or rename it"
                )
            found[name] = Offer(name, plugin, source)
    return found


def _offers(implementation: pluggy.HookImpl, kind: Kind, source: str) -> Mapping[str, Plugin]:
    try:
        offers = implementation.function()
    except Exception as error:
        raise PluginError(
            f"{PREFIX}{kind} of distribution {source!r} failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(offers, Mapping) or not all(
        isinstance(name, str) and isinstance(plugin, Plugin) for name, plugin in offers.items()
    ):
        raise PluginError(
            f"{PREFIX}{kind} of distribution {source!r} must return a mapping from names to "
            f"zobench.Plugin, but returned {offers!r}"
        )
    return offers
