"""The command line: one module per command, and ``display`` for all output."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

from zobench.errors import Interrupted, ZobenchError


def main() -> NoReturn:
    """Runs a command; a user's mistake gets one clear message and the exit code of its class.

    Raises:
        SystemExit: Always, with the exit code of the command.
    """
    from rich.markup import escape

    from .app import app
    from .display.console import error_console

    try:
        app(prog_name="zobench")
    except Interrupted as stop:
        error_console().print(escape(str(stop)), highlight=False)
        sys.exit(stop.exit_code)
    except ZobenchError as error:
        error_console().print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code)
    sys.exit(0)


def process() -> NoReturn:
    """Runs a command as a process, which ends also if a plugin has left a thread behind."""
    from .leaving import leave
    from .waiting_threads import sleep_soon, usable_cores

    sleep_soon(os.environ, usable_cores())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except SystemExit as ended:
        leave(ended.code)
