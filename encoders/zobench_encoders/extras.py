"""Errors of encoders that are other packages' code: a missing package, or an exception of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zobench.errors import ConfigError, ZobenchError


def missing_extra(encoder: str, extra: str, error: ModuleNotFoundError) -> ConfigError:
    """The error that names the missing package and the extra that brings it."""
    return ConfigError(
        f"encoder {encoder} needs the package {error.name}: python -m pip install 'zobench[{extra}]'"
    )


@contextmanager
def foreign_code(encoder: str, what: str) -> Iterator[None]:
    """Raises an exception of another package, which meets files of anybody, as a ``ConfigError``.

    Args:
        encoder: The encoder's name.
        what: What fails in this block, such as ``cannot be loaded``.
    """
    try:
        yield
    except ZobenchError:
        raise
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"encoder {encoder} {what}: {words or 'no reason given'} ({type(error).__name__})"
        ) from error
