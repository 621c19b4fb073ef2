"""The command line: one module per command, and ``display`` for all output."""

from __future__ import annotations

from typing import NoReturn

from zobench.errors import Interrupted, ZobenchError


def main() -> NoReturn:
    """Runs a command; a user's mistake gets one clear message and the exit code of its class.

    The process ends when the command has ended, also if a plugin has left a thread behind.
    """
    from rich.markup import escape

    from .app import app
    from .display.console import error_console
    from .leaving import leave

    try:
        app(prog_name="zobench")
    except SystemExit as done:  # of the command line itself; commands do not raise it
        leave(done.code)
    except Interrupted as stop:
        error_console().print(str(stop), markup=False, highlight=False)
        leave(stop.exit_code)
    except ZobenchError as error:
        error_console().print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        leave(error.exit_code)
    leave(0)
