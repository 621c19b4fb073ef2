"""The message of an encoder whose packages are not installed."""

from __future__ import annotations

from zobench.errors import ConfigError


def missing_extra(encoder: str, extra: str, error: ModuleNotFoundError) -> ConfigError:
    """The error that names the missing package and the extra that brings it."""
    return ConfigError(
        f"encoder {encoder} needs the package {error.name}: python -m pip install 'zobench[{extra}]'"
    )
