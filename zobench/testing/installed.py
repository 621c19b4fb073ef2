"""The registry of all installed plugins, loaded once a process."""

from __future__ import annotations

from functools import cache

from zobench.registry.discovery import Registry, load_registry


@cache
def installed() -> Registry:
    """All installed plugins."""
    return load_registry()
