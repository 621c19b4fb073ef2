"""Gives memory that large requests took back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

LARGE_BYTES = 4 * 2**20
"""Size of a body after which memory is given back."""


def give_back_memory() -> None:
    """Returns free memory to the system, where the C library keeps it (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
