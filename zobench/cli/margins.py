"""Margins as the user types them: ``--margin fpq=0.02``."""

from __future__ import annotations

from collections.abc import Sequence

from zobench.errors import ConfigError


def parse_margins(texts: Sequence[str]) -> dict[str, float]:
    """Parses ``["fpq=0.02"]`` to ``{"fpq": 0.02}``.

    Raises:
        ConfigError: A text is not of the form ``metric=number``, or a metric is named twice.
    """
    margins: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in margins:
            raise ConfigError(f"--margin {name} is given twice; give it once")
        try:
            margins[name] = float(value)
        except ValueError:
            raise ConfigError(f"--margin {text!r} must be metric=number, of at least 0") from None
    return margins
