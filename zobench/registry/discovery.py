"""Loads installed plugins into a registry and looks plugins up by kind and name."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Literal, get_args

import pluggy

from zobench.contracts.metric import Metric
from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError, PluginError

from . import hooks
from .failure import aside
from .plugin import Plugin

Kind = Literal[
    "optimizers",
    "encoders",
    "datasets",
    "objectives",
    "methods",
    "metrics",
    "trackers",
    "executors",
    "pretrainings",
    "commands",
]
METRIC_NAMES_IN_USE = frozenset(
    {
        *("fpq", "recovery", "queries", "objective", "norm", "sa_frozen", "sa_refitted", "sent"),
        *(
            "gap_recovery",
            "accuracy_change",
            "why_zero",
            "psnr",
            "ssim",
            "beyond_placebo",
            "feedback",
        ),
        *("folder", "status", "problem", "optimizer", "seed", "budget", "spent", "values"),
        "resumable",
    }
)
"""Keys beside the metrics in JSON rows; a metric with such a name would replace them."""

KINDS: tuple[Kind, ...] = get_args(Kind)
PREFIX = "zobench_register_"
PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BUILT_IN = "zobench"
"""Name of the distribution that registers the built-in plugins."""


@dataclass(frozen=True)
class Offer:
    """A registered plugin, its name and the distribution that registered it."""

    name: str
    plugin: Plugin
    distribution: str


@dataclass(frozen=True)
class Registry:
    """All registered plugins, by kind and name.

    Attributes:
        offers: The plugins.
        note: Receives a sentence for each wrong metric, which is left out; it is an error if ``None``.
    """

    offers: Mapping[Kind, Mapping[str, Offer]]
    note: Callable[[str], None] | None = None

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Every registered metric: the built-in ones, then those of other packages.

        Raises:
            PluginError: A target cannot be imported or is not a ``Metric``, its name is not the
                registered name, or it does not have exactly one of ``from_counts`` and
                ``from_scores``; and nobody receives notes.
        """
        offers = sorted(
            self.offers["metrics"].values(), key=lambda offer: offer.distribution != BUILT_IN
        )
        metrics = []
        for offer in offers:
            with _noted(self.note):
                metrics.append(_metric(offer))
        return tuple(metrics)

    def distributions(self) -> dict[str, str]:
        """Versions of zobench and of every distribution that registered a plugin, by name."""
        names = {offer.distribution for kind in self.offers.values() for offer in kind.values()}
        return {name: distribution_version(name) for name in sorted({"zobench", *names})}

    def find(self, kind: Kind, name: str) -> tuple[Offer, str]:
        """Looks up a name such as ``timm:<model>``: the plugin, and the argument after the colon.

        Raises:
            ConfigError: No plugin of this kind has that name, or the argument is missing or not
                allowed.
        """
        offers = self.offers[kind]
        base, colon, argument = name.partition(":")
        what = kind[:-1]
        if base not in offers:
            names = ", ".join(sorted(offers)) or "none"
            raise ConfigError(
                f"{what} {name!r} is not known{nearest(base, offers)}; known: {names} "
                f"(see: zobench list {kind})"
            )
        offer = offers[base]
        if offer.plugin.argument and offer.plugin.argument_needed and not argument:
            listing = f" (see: zobench list {kind} --all)" if offer.plugin.members else ""
            raise ConfigError(
                f"{what} {base!r} needs something after a colon: "
                f"{base}:<{offer.plugin.argument}>{listing}"
            )
        if colon and not offer.plugin.argument:
            raise ConfigError(f"{what} {base!r} takes nothing after a colon, but got {argument!r}")
        return offer, argument


def load_registry(
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
    *,
    note: Callable[[str], None] | None = None,
) -> Registry:
    """Loads plugin entry points and calls their hooks.

    Args:
        entry_points: Entry points to load; all installed ones of the group ``zobench`` if ``None``.
        note: For those who only read stored runs: receives a sentence for each plugin that
            cannot be imported, or has a wrong hook or metric, and the registry goes without it. If
            ``None``, such a plugin is an error. A name that is registered twice is one in any case.

    Raises:
        PluginError: A plugin cannot be imported, has an unknown or undecorated hook, has a hook
            that fails or does not return plugins by name, or uses a name that is already
            registered.
    """
    distribution_version.cache_clear()  # a package may have been installed since the last call
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=hooks.PROJECT)
    sources: dict[str, str] = {}
    for entry_point in sorted(entry_points, key=lambda e: (_distribution(e), e.name)):
        source = _distribution(entry_point)
        with _noted(note):
            name = f"{source}:{entry_point.name}"
            module = _module(entry_point, source)
            manager.register(module, name=name)
            sources[name] = source
    return Registry({kind: _collect(manager, kind, sources, note) for kind in KINDS}, note)


@cache
def distribution_version(name: str) -> str:
    """Version of an installed distribution; ``unknown`` if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _metric(offer: Offer) -> Metric:
    try:
        metric = offer.plugin.load()
    except PluginError as error:
        raise PluginError(
            f"the metric {offer.name!r} of distribution {offer.distribution!r}: {error}"
        ) from error
    if not isinstance(metric, Metric) or metric.name != offer.name:
        raise PluginError(
            f"the metric {offer.name!r} of distribution {offer.distribution!r} is {metric!r:.120}; its "
            f"target must be a zobench.Metric with the name {offer.name!r}"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", metric.name) or metric.name in METRIC_NAMES_IN_USE:
        raise PluginError(
            f"the metric {metric.name!r} of distribution {offer.distribution!r} needs another name: "
            "small letters, digits and underscores, and none of "
            f"{', '.join(sorted(METRIC_NAMES_IN_USE))}, which name other things in JSON"
        )
    if (metric.from_counts is None) == (metric.from_scores is None):
        raise PluginError(
            f"the metric {offer.name!r} of distribution {offer.distribution!r} must have exactly "
            "one of from_counts and from_scores"
        )
    return metric


def _distribution(entry_point: importlib.metadata.EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "unknown"


@contextmanager
def _noted(note: Callable[[str], None] | None) -> Iterator[None]:
    """Tells of a broken plugin in the block, if there is somebody to be told."""
    try:
        yield
    except PluginError as error:
        if note is None:
            raise
        note(f"{error}; what it registers is left out")


def _module(entry_point: importlib.metadata.EntryPoint, source: str) -> ModuleType:
    """The module of a plugin, imported and with the right hooks."""
    try:
        with aside():
            module: ModuleType = entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit as well
        raise PluginError(
            f"the plugin {entry_point.name!r} of distribution {source!r} cannot be imported: "
            f"{type(error).__name__}: {error}; mend it, or uninstall {source} if it is installed"
        ) from error
    _check_hooks(module, entry_point.name, source)
    return module


def _check_hooks(module: object, name: str, source: str) -> None:
    """Refuses a plugin module with a function that looks like a hook but is not one.

    Such a function has an unknown name, or lacks the decorator ``zobench.hookimpl``. Without this
    check it would be ignored without a message.
    """
    expected = [f"{PREFIX}{kind}" for kind in KINDS]
    marker = f"{hooks.PROJECT}_impl"
    for attribute in dir(module):
        value = getattr(module, attribute)
        looks_like_one = attribute.startswith(f"{hooks.PROJECT}_") and callable(value)
        if not looks_like_one and not hasattr(value, marker):
            continue
        if attribute not in expected:
            raise PluginError(
                f"the plugin {name!r} of distribution {source!r} implements {attribute!r}, which is "
                f"no hook{nearest(attribute, expected)}"
            )
        if not hasattr(value, marker):
            raise PluginError(
                f"{attribute!r} in the plugin {name!r} of distribution {source!r} lacks the "
                "@zobench.hookimpl decorator, so it would be ignored"
            )
        if inspect.signature(value).parameters:
            raise PluginError(
                f"{attribute!r} in the plugin {name!r} of distribution {source!r} takes arguments, but "
                "is given none"
            )


def _collect(
    manager: pluggy.PluginManager,
    kind: Kind,
    sources: Mapping[str, str],
    note: Callable[[str], None] | None,
) -> dict[str, Offer]:
    offers: dict[str, Offer] = {}
    caller = getattr(manager.hook, f"{PREFIX}{kind}")
    for implementation in caller.get_hookimpls():
        source = sources[implementation.plugin_name]
        registered: Mapping[str, Plugin] = {}
        with _noted(note):
            registered = _offers(implementation, kind, source)
        for name, plugin in registered.items():
            if name in offers:
                raise PluginError(
                    f"two distributions register the {kind[:-1]} {name!r}: "
                    f"{offers[name].distribution} and {source}; uninstall one or rename it"
                )
            offers[name] = Offer(name, plugin, source)
    return offers


def _offers(implementation: pluggy.HookImpl, kind: Kind, source: str) -> Mapping[str, Plugin]:
    try:
        with aside():
            offers = implementation.function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
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
    for name, plugin in offers.items():
        if not PLUGIN_NAME.fullmatch(name):
            raise PluginError(
                f"{PREFIX}{kind} of distribution {source!r} registers the name {name!r}; it must be of "
                "letters, digits, dots, hyphens and underscores, the first a letter or digit"
            )
        if kind == "optimizers" and plugin.argument == "optimizer" and not plugin.wraps:
            raise PluginError(
                f"{PREFIX}{kind} of distribution {source!r}: the argument of {name!r} is an optimizer; "
                "register it with wraps=True, so that it is made and given as context.inner"
            )
        for flag in ("wraps", "borrows"):
            if getattr(plugin, flag) and not (kind == "optimizers" and plugin.argument):
                raise PluginError(
                    f"{PREFIX}{kind} of distribution {source!r}: {name!r} has {flag}=True, but only an "
                    "optimizer with an argument can have that"
                )
        if plugin.wraps and plugin.borrows:
            raise PluginError(
                f"{PREFIX}{kind} of distribution {source!r}: {name!r} has both wraps=True and "
                "borrows=True, but its argument names either an optimizer or an encoder"
            )
    return offers
