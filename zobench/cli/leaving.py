"""Ends the process of a command, whatever threads are left in it."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

GRACE_SECONDS = 10.0
"""Seconds that threads have to end after the command has ended."""


def leave(code: str | int | None) -> NoReturn:
    """Exits with a code; a thread that a plugin left behind cannot keep the process alive.

    Python waits for every thread before it exits, and a plugin may leave a thread that never ends.
    It also searches all objects for cycles, twice; torch and timm make 400,000 of them,
    so that this would take a quarter of a short command's time.
    """
    gc.freeze()
    main = threading.main_thread()
    if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
        number = code if isinstance(code, int) else int(code is not None)
        threading.Thread(target=_end, args=(number,), daemon=True).start()
    sys.exit(code)


def _end(code: int) -> None:
    """Ends the process if it is still there after :data:`GRACE_SECONDS`."""
    time.sleep(GRACE_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
