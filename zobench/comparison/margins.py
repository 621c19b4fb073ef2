"""Margins: by quantity, the largest loss that still counts as no worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Real

from zobench.contracts.metric import Metric
from zobench.contracts.parameters import cut, nearest
from zobench.errors import ConfigError


def require_margins(margins: Mapping[str, float], quantities: Sequence[Metric]) -> None:
    """Checks names and values of margins.

    Raises:
        ConfigError: No quantity has that name, or a margin is not a finite number of at least 0.
    """
    if not isinstance(margins, Mapping):
        raise ConfigError(
            f"margins is {cut(margins)}, but must be a mapping from metrics to losses: {{'fpq': 0.02}}"
        )
    names = [quantity.name for quantity in quantities]
    for name, value in margins.items():
        if name not in names:
            raise ConfigError(
                f"margin {name}={cut(value)}: there is no metric {name!r}{nearest(str(name), names)}; "
                f"known: {', '.join(names)}"
            )
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < inf:
            raise ConfigError(f"margin {name}={cut(value)} must be a finite number of at least 0")


def default_margins(quantities: Sequence[Metric]) -> dict[str, float]:
    """The margins of a new gate, as the quantities declare them."""
    return {
        quantity.name: quantity.margin for quantity in quantities if quantity.margin is not None
    }
