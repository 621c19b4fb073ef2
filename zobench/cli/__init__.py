"""The command line: one module per command, and ``display`` for all output."""

from __future__ import annotations

import sys

from zobench.errors import Interrupted, ZobenchError


def main() -> None:
    """Runs a command; a user's mistake gets one clear message and the exit code of its class."""
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
