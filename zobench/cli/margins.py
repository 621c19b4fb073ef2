"""Margins as the user types them: ``--margin fpq=0.02``."""

from __future__ import annotations

from collections.abc import Sequence

from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError
from zobench.measures.recovery import FPQ, RECOVERY
from zobench.registry.discovery import Registry


def parse_margins(texts: Sequence[str], registry: Registry) -> dict[str, float]:
    """Parses ``["fpq=0.02"]`` to ``{"fpq": 0.02}``.

    Raises:
        ConfigError: No quantity has that name, or the margin is not a number >= 0.
    """
    known = [each.name for each in (FPQ, RECOVERY, *registry.metrics)]
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise ConfigError(
                f"--margin {text!r}: there is no metric {name!r}{nearest(name, known)}; "
                f"known: {', '.join(known)}"
            )
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] < float("inf"):
            raise ConfigError(f"--margin {text!r} must be metric=number, of at least 0")
    return found
