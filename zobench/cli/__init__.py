"""The command line."""

from __future__ import annotations

import sys

from zobench.errors import Interrupted, ZobenchError


def main() -> None:
    """Runs a command; a user's mistake gets one clear message and the exit code of its class."""
    from .app import app
    from .console import error_console

    try:
        app(prog_name="zobench")
    except Interrupted as stop:
        error_console().print(_escaped(str(stop)), highlight=False)
        sys.exit(stop.exit_code)
    except ZobenchError as error:
        error_console().print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False)
        sys.exit(error.exit_code)


def _escaped(text: str) -> str:
    from rich.markup import escape

    from zobench.records.urls.copies import named

    return escape(named(text))
