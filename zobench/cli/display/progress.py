"""Progress on standard error: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from types import TracebackType

from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from .console import PrintableConsole, error_console

UNITS = {
    "optimize": "queries",
    "score": "images",
    "prepare images": "images",
    "embed": "images",
    "embed clean images": "images",
    "embed edited images": "images",
    "read runs": "runs",
    "train": "steps",
    "align": "images",
    "probe": "images",
}
LINE_SECONDS = 10.0

WIDE = 110
"""Columns of a terminal from which a bar has its full length, and a unit."""
FIXED, FIXED_NARROW = 87, 63
"""Columns that all but the figures take, with and without the unit and the full length."""


@contextmanager
def unechoed_keys() -> Iterator[None]:
    """Stops the terminal from printing ^C: inside a progress bar it would leave a stale line."""
    if not _owns_terminal():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        if _owns_terminal():
            with suppress(termios.error):  # the terminal may be closed
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _owns_terminal() -> bool:
    """Whether standard input is a terminal and this its foreground job, as POSIX has them.

    A job in the background that changed the terminal's settings would be stopped.
    """
    if sys.platform == "win32" or sys.stdin is None:
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # not a terminal, another session's terminal, or closed
        return False


class TimeColumn(ProgressColumn):
    """The time that is left, in a task that is done the time that it took."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """One of ``0:00:12 left``, ``in 0:00:35`` and, before an estimate, nothing."""
        if task.finished:
            took = timedelta(seconds=int(task.finished_time or 0.0))
            return Text(f"in {took}", style="progress.elapsed")
        left = task.time_remaining
        words = "" if left is None else f"{timedelta(seconds=int(left))} left"
        return Text(words, style="progress.remaining")


class ConsoleListener:
    """Shows phase, progress, speed, time left and the latest figures; use as a context manager."""

    def __init__(self) -> None:
        self._console = error_console()
        self._live = self._console.is_terminal
        # bars must not wrap: rich would then redraw the wrong number of lines
        bars = PrintableConsole(stderr=True, highlight=False)
        wide = bars.width >= WIDE
        self._room = bars.width - (FIXED if wide else FIXED_NARROW)
        units = [TextColumn("{task.fields[unit]:<7}")] if wide else []
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=24 if wide else 8),
            TextColumn("{task.fields[count]:>11}"),
            *units,
            TextColumn("{task.fields[rate]:>7}"),
            TimeColumn(table_column=Column(min_width=12)),
            TextColumn("{task.fields[figures]}"),
            console=bars,
            transient=False,
        )
        self._terminal = ExitStack()
        self._task: TaskID | None = None
        self._name, self._total, self._first, self._began, self._said = "", 0, 0, 0.0, 0.0
        self._figures: dict[str, float] = {}
        self._printed = (0, "")

    def __enter__(self) -> ConsoleListener:
        if self._live:
            with ExitStack() as entered:
                entered.enter_context(unechoed_keys())
                entered.enter_context(self._progress)
                self._terminal = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._terminal.close()

    def phase(self, name: str, total: int) -> None:
        """Starts a new progress bar, or prints the name of the phase."""
        self._name, self._total, self._first = name, total, 0
        self._began = self._said = time.monotonic()
        self._figures, self._printed = {}, (0, "")
        if not self._live:
            words = f"{name} ..." if not total else f"{name}: {total:,} {_unit(name)}"
            self._console.print(words.rstrip(), markup=False)
            return
        if self._task is not None:  # a phase may end before its total, as optimizers may
            done = self._progress.tasks[self._task].completed
            self._progress.update(self._task, total=done)
            self._task = None
        if not total:
            self._progress.console.print(f"[dim]{escape(name)} ...[/]", soft_wrap=True)
            return
        self._task = self._progress.add_task(
            name, total=total, count=f"0/{total}", unit=_unit(name), rate="", figures=""
        )

    def update(self, done: int, **figures: float) -> None:
        """Moves the bar, and remembers the figures."""
        self._figures.update(figures)
        now = time.monotonic()
        if done and not self._first:
            self._first, self._began = done, now
        seconds = now - self._began
        rate = f"{(done - self._first) / seconds:,.0f}/s" if seconds > 0.5 else ""
        texts = [f"{name} {value:.3f}" for name, value in self._figures.items()]
        shown = "  ".join(texts)
        if self._live and self._task is not None:
            while len(shown) > self._room and texts:
                shown = "  ".join(texts := texts[:-1])
            count = f"{done}/{self._total}"
            self._progress.update(self._task, completed=done, count=count, rate=rate, figures=shown)
        elif not self._live and (now - self._said > LINE_SECONDS or done == self._total):
            self._said = now
            if (done, shown) == self._printed:
                return  # the rate alone is no news
            self._printed = (done, shown)
            share = f"{done:,} of {self._total:,} {_unit(self._name)}".rstrip()
            self._console.print(f"  {self._name}: {share}  {rate}  {shown}".rstrip(), markup=False)

    def note(self, text: str) -> None:
        """Prints a highlighted note."""
        self._progress.console.print(f"[bold yellow]note:[/] {escape(text)}", soft_wrap=True)


def _unit(name: str) -> str:
    return UNITS.get(name, "")
