"""Keeps freed memory in the process, so that the next batch does not fetch it page by page.

The GNU C library gives a large block back to the kernel when it is freed. The next block of the same
size is then fetched anew, and the kernel fills each of its pages with zeros: up to 600 page faults an
image, a fifth of the CPU time. With higher thresholds the library reuses the block.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

MAPPED_FROM = 32 << 20
"""Blocks of this size, in bytes, are still mapped: the largest threshold that glibc takes."""

KEPT = 1 << 30
"""Free bytes at the end of the heap that are kept."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The numbers of the two options in malloc.h."""


@cache
def keep_freed_memory() -> bool:
    """Raises the two thresholds of glibc for this process, once.

    Returns:
        Whether they are raised. They are not with another C library, nor where the user has set
        options of glibc's allocator in the environment.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ)
    if chosen or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    raised = [mallopt(_MMAP_THRESHOLD, MAPPED_FROM), mallopt(_TRIM_THRESHOLD, KEPT)]
    return all(raised)
