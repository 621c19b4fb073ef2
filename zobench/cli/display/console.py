"""Consoles for standard output and standard error, which show no control characters."""

from __future__ import annotations

import os
from collections.abc import Iterator

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

ESCAPED = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}
"""How control characters are shown, by code: C0 except line end and tab, DEL, and C1."""


class PrintableConsole(Console):
    r"""A console that shows control characters in texts as ``\x1b``, so that they do nothing.

    Names and error texts may come from a service, a plugin or somebody else's runs.
    """

    def on_broken_pipe(self) -> None:
        """Ends the command: the reader of the output has gone."""
        raise typer.Exit(1)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """The segments of a renderable, with control characters escaped."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(text.translate(ESCAPED), style)


def output_console() -> Console:
    """Standard output; where it is no terminal, without colour and as wide as ``COLUMNS`` or 160."""
    console = PrintableConsole(highlight=False)
    if console.is_terminal:
        return console
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    return PrintableConsole(highlight=False, width=width or 160)


def error_console() -> Console:
    """Standard error."""
    return PrintableConsole(stderr=True, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Prints a note to standard error; standard output holds results only."""
    error_console().print(f"[bold yellow]note:[/] {escape(text)}")
