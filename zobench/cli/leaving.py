"""Ends the process of a command, whatever threads are left in it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

CLEANUP_SECONDS = 5.0
"""Seconds that libraries have to clean up if a thread is left."""


def leave(code: str | int | None) -> NoReturn:
    """Exits with a code; a thread that a plugin left behind cannot keep the process alive.

    Python waits for every thread before it exits. Some optimizers, such as 41 of nevergrad, leave a
    thread that waits forever.
    """
    if not _left():
        sys.exit(code)
    cleanup = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    cleanup.start()
    cleanup.join(CLEANUP_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _left() -> list[threading.Thread]:
    """Threads that Python would wait for."""
    return [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
