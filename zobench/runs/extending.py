"""Goes on with a finished run: which limit ended it, and whether its optimizer can go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.identity import identity
from zobench.records.manifest import CUTS, Manifest
from zobench.records.urls.copies import is_copy, is_url
from zobench.registry.discovery import Registry

from .resolved import ResolvedPlugin, resolve_plugin

Limits = Mapping[str, float | None]
"""New values of ``budget``, ``max_cost`` and ``max_time``; ``None`` where the limit stays."""


def extended(
    manifest: Manifest, limits: Limits, place: Location, registry: Registry
) -> Manifest | None:
    """The manifest with which a run goes on under new limits.

    Args:
        manifest: The manifest of a run, finished or not.
        limits: The new limits.
        place: The run folder.
        registry: Plugins.

    Returns:
        The manifest; ``None`` if the run is done and no new limit concerns it, so that it is only read.

    Raises:
        ConfigError: A limit is not larger than before, another limit ended the run, the optimizer
            spreads its steps over the budget, or the run's last state is not stored.
    """
    given: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    config = manifest.config.changed(**given)
    if manifest.status is not RunStatus.DONE:
        if config.budget != manifest.config.budget:
            raise ConfigError(
                f"{place} is {manifest.status}, and only a finished run can be extended; go on with it "
                "first: zobench resume without --budget"
            )
        return manifest.changed(config=config)
    if "budget" in given:
        _require_larger(manifest, "budget", given["budget"], place)
        _require_unpaced(manifest, place, registry)
    ended_by = manifest.ended_by
    if ended_by not in given:
        if "budget" in given:
            cure = (
                "start a new run without --until"
                if ended_by == "until"
                else f"give a larger {_option(ended_by)}, too"
            )
            raise ConfigError(f"{place} was ended by {ended_by}, not by its budget; {cure}")
        return None
    if ended_by != "budget":
        _require_larger(manifest, ended_by, given[ended_by], place)
    if 0 < config.max_time <= manifest.wall_seconds:
        raise ConfigError(
            f"--max-time {config.max_time:,}: {place} has taken {manifest.wall_seconds:,.0f} seconds, "
            "scoring included, so nothing more could be asked; give a larger one"
        )
    if not (place / layout.CHECKPOINT).path.exists():
        raise ConfigError(
            f"{place} cannot go on: the last state of its optimizer is not stored (it was deleted, or "
            "an older zobench made the run); start a new run"
        )
    if is_url(str(place)) or is_copy(place.path):
        raise ConfigError(
            f"{place} is published, and a published run that is done stays as it is; copy it to a local "
            "folder and extend the copy"
        )
    if "budget" in given and place.path.name.endswith(f"-{identity(manifest)[:10]}"):
        raise ConfigError(
            f"{place} belongs to a suite, which would take the longer run for the one in its file; copy "
            "the folder to another name and extend the copy"
        )
    end = {
        "queries": manifest.ledger["optimize"]["queries"],
        "budget": manifest.config.budget,
    }
    return manifest.changed(config=config, ended_by="", extended=(*manifest.extended, end))


def _option(limit: str) -> str:
    return "--" + limit.replace("_", "-")


def _require_larger(manifest: Manifest, limit: str, value: float, place: Location) -> None:
    before = getattr(manifest.config, limit)
    if value <= before and not (value == 0 and limit in CUTS):
        raise ConfigError(
            f"{_option(limit)} {value:,}: {place} has {before:,} already; give a larger one"
        )


def _require_unpaced(manifest: Manifest, place: Location, registry: Registry) -> None:
    config = manifest.config
    plugin = resolve_plugin(
        "optimizer", config.optimizer, config.overrides.get("optimizer", {}), registry
    )
    if is_paced(plugin, config.budget):
        raise ConfigError(
            f"{place} cannot go on with a larger budget, with which optimizer {config.optimizer!r} may "
            f"have taken other steps (it does not declare paced = False for {config.budget:,} queries); "
            "start a new run with a larger --budget"
        )


def is_paced(plugin: ResolvedPlugin, budget: int) -> bool:
    """Whether an optimizer may spread its steps over a budget; so may one that does not say."""
    declared = getattr(plugin.offer.plugin.load(), "paced", True)
    return bool(declared(plugin.parameters, budget) if callable(declared) else declared)
