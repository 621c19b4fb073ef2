"""Resolves a config: finds its plugins and checks their parameters; no part is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from zobench.config import RunConfig
from zobench.contracts.encoder import EncoderOutlook
from zobench.contracts.parameters import essential, resolve
from zobench.errors import ConfigError, PluginError
from zobench.problem.split import SplitParameters
from zobench.records.identity import BASELINE
from zobench.records.manifest import Manifest
from zobench.registry.discovery import Kind, Offer, Registry
from zobench.registry.plugin import INNER, LOCAL

from .baselines import Baseline, find_baselines

OWNER_KINDS: Mapping[str, Kind] = {
    "optimizer": "optimizers",
    "encoder": "encoders",
    "dataset": "datasets",
    "objective": "objectives",
}
"""The kind of plugin for each owner of parameters, except ``split``, which is no plugin."""


@dataclass(frozen=True)
class ResolvedPlugin:
    """A plugin that a config names, found in the registry, with its checked parameters.

    Attributes:
        offer: The plugin and its distribution.
        argument: The text after the colon of the name; empty without a colon.
        parameters: An instance of the plugin's parameter dataclass.
        inner: The plugin that the argument names, for a plugin that wraps another; else ``None``.
        local: The encoder that the argument names, for a plugin that borrows one; else ``None``.
    """

    offer: Offer
    argument: str
    parameters: Any
    inner: ResolvedPlugin | None = None
    local: ResolvedPlugin | None = None

    @property
    def name(self) -> str:
        """The name as typed."""
        return f"{self.offer.name}:{self.argument}" if self.argument else self.offer.name

    @property
    def borrowed(self) -> ResolvedPlugin | None:
        """The encoder that an optimizer, or the one inside, borrows; ``None`` for none."""
        return self.local or (self.inner.borrowed if self.inner is not None else None)

    def build(self, context: object) -> Any:
        """Makes the plugin's object."""
        return self.offer.plugin.build(context, self.parameters)

    @property
    def outlook(self) -> EncoderOutlook | None:
        """What is known of an encoder that is a service before it is reached; else ``None``."""
        outlook: EncoderOutlook | None = self.offer.plugin.known_before(
            self.argument, self.parameters
        )
        return outlook

    @property
    def essential(self) -> dict[str, Any]:
        """Parameters that can change the result; those of the plugin inside as ``inner.NAME``."""
        inner = {} if self.inner is None else self.inner.essential
        return {**essential(self.parameters), **{f"{INNER}.{name}": inner[name] for name in inner}}

    def distributions(self, owner: str) -> dict[str, str]:
        """Distributions by owner: the plugin's, ``OWNER.inner`` and ``OWNER.local``."""
        inner = {} if self.inner is None else self.inner.distributions(f"{owner}.{INNER}")
        local = {} if self.local is None else self.local.distributions(f"{owner}.{LOCAL}")
        return {owner: self.offer.distribution, **inner, **local}


@dataclass(frozen=True)
class ResolvedConfig:
    """A config with its plugins and checked parameters; no part is made yet.

    Attributes:
        config: The config of the run.
        optimizer: The optimizer's plugin.
        encoder: The encoder's plugin.
        dataset: The dataset's plugin.
        objective: The objective's plugin.
        split: Sizes and bias of the split.
        baselines: The no-query baselines.
    """

    config: RunConfig
    optimizer: ResolvedPlugin
    encoder: ResolvedPlugin
    dataset: ResolvedPlugin
    objective: ResolvedPlugin
    split: SplitParameters
    baselines: tuple[Baseline, ...]

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """Parameters that can change the result, by owner and name, including defaults."""
        by_owner = {owner: getattr(self, owner).essential for owner in OWNER_KINDS}
        return {**by_owner, "split": essential(self.split)}

    @property
    def plugins(self) -> dict[str, str]:
        """Distribution of each plugin, by owner; that of a baseline by ``baseline NAME``."""
        baselines = {
            f"{BASELINE} {baseline.name}": baseline.offer.distribution
            for baseline in self.baselines
        }
        owners = [getattr(self, owner).distributions(owner) for owner in OWNER_KINDS]
        return {**{name: settings[name] for settings in owners for name in settings}, **baselines}


def resolve_plugin(
    owner: str, name: str, overrides: Mapping[str, Any], registry: Registry
) -> ResolvedPlugin:
    """Looks up one optimizer, encoder, dataset or objective and checks its parameters.

    Of a plugin that wraps another, the parameters named ``inner.NAME`` are those of the plugin inside.

    Raises:
        ConfigError: No plugin has that name, a parameter is unknown, or a value is not allowed.
    """
    kind = OWNER_KINDS[owner.partition(".")[0]]
    offer, argument = registry.find(kind, name)
    outside, inner, local = dict(overrides), None, None
    if offer.plugin.wraps:
        prefix = f"{INNER}."
        inside = {
            override.removeprefix(prefix): outside.pop(override)
            for override in overrides
            if override.startswith(prefix)
        }
        inner = resolve_plugin(f"{owner}.{INNER}", argument, inside, registry)
    if offer.plugin.borrows:
        local = resolve_plugin("encoder", argument, {}, registry)
        if local.offer.plugin.outlook:
            raise ConfigError(
                f"{name}: {argument} is a service, but {offer.name} needs an encoder on this machine, "
                "with gradients; zobench list encoders"
            )
    try:
        return ResolvedPlugin(offer, argument, offer.plugin.resolve(outside, owner), inner, local)
    except PluginError:
        raise
    except ConfigError as error:
        hint = f" (those of {argument}: {owner}.{INNER}.NAME)" if offer.plugin.wraps else ""
        raise ConfigError(f"{name}: {error}{hint}") from error


@contextmanager
def of_a_stored_run(manifest: Manifest, registry: Registry) -> Iterator[None]:
    """A block that resolves plugins of a stored run: its errors name the distributions that are gone.

    Args:
        manifest: That of the run.
        registry: Installed plugins.

    Raises:
        ConfigError: The block raised one; the distributions that are not installed are named.
    """
    try:
        yield
    except ConfigError as error:
        here = {
            offer.distribution for offers in registry.offers.values() for offer in offers.values()
        }
        gone = sorted({*manifest.plugins.values()} - here)
        if not gone:
            raise
        raise ConfigError(
            f"{error}. The run was made with plugins of distributions that must be installed again: "
            f"{', '.join(gone)}"
        ) from error


def unpriced(config: RunConfig) -> str:
    """Why a limit on the cost cannot be kept: the beginning of a sentence."""
    return f"max_cost is {config.max_cost:g}, but encoder {config.encoder!r} has no price; "


def check_unloaded(config: RunConfig, registry: Registry) -> SplitParameters:
    """Checks what needs no plugin and no torch, so that a mistyped name is told within a second.

    Raises:
        ConfigError: A plugin is not known, or a parameter of the split is unknown or not allowed.
    """
    for owner, kind in OWNER_KINDS.items():
        registry.find(kind, getattr(config, owner))
    split: SplitParameters = resolve(SplitParameters, config.overrides.get("split", {}), "split")
    return split


def resolve_config(config: RunConfig, registry: Registry) -> ResolvedConfig:
    """Looks up every plugin of a config and checks every parameter; no part is loaded.

    Raises:
        ConfigError: A plugin or a parameter is unknown, a value is not allowed, or the cost is limited
            of a service whose price is not given.
    """
    split = check_unloaded(config, registry)
    optimizer, encoder, dataset, objective = (
        resolve_plugin(owner, getattr(config, owner), config.overrides.get(owner, {}), registry)
        for owner in OWNER_KINDS
    )
    if config.max_cost and (outlook := encoder.outlook) is not None and not outlook.price:
        raise ConfigError(unpriced(config) + "give one: --set encoder.price=0.0001")
    baselines = tuple(find_baselines(config, registry))
    return ResolvedConfig(config, optimizer, encoder, dataset, objective, split, baselines)
