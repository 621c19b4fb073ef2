"""Live progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

UNITS = {
    "optimize": "queries",
    "score": "images",
    "prepare images": "images",
    "embed clean images": "images",
    "train": "steps",
    "probe": "images",
}
LINE_SECONDS = 10.0


def output_console() -> Console:
    """Standard output; no colour and a fixed width where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def error_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


class ConsoleListener:
    """Shows phase, progress, speed, time left and the latest figures; use as a context manager."""

    def __init__(self) -> None:
        self._console = error_console()
        self._live = self._console.is_terminal
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TextColumn("{task.fields[rate]:>9}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            transient=False,
        )
        self._task: TaskID | None = None
        self._name, self._total, self._first, self._began, self._said = "", 0, 0, 0.0, 0.0
        self._figures: dict[str, float] = {}

    def __enter__(self) -> ConsoleListener:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._progress.stop()

    def phase(self, name: str, total: int) -> None:
        """A new line of progress."""
        self._name, self._total, self._first = name, total, 0
        self._began = self._said = time.monotonic()
        self._figures = {}
        if not self._live:
            self._console.print(f"{name} ..." if not total else f"{name}: {total:,} {_unit(name)}")
            return
        if not total:
            self._progress.console.print(f"[dim]{name} ...[/]")
            return
        self._task = self._progress.add_task(
            name, total=total, unit=_unit(name), rate="", figures=""
        )

    def update(self, done: int, **figures: float) -> None:
        """Moves the bar, and remembers the figures."""
        self._figures.update(figures)
        now = time.monotonic()
        if done and not self._first:
            self._first, self._began = done, now
        seconds = now - self._began
        rate = f"{(done - self._first) / seconds:,.0f}/s" if seconds > 0.5 else ""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in self._figures.items())
        if self._live and self._task is not None:
            self._progress.update(self._task, completed=done, rate=rate, figures=shown)
        elif not self._live and (now - self._said > LINE_SECONDS or done == self._total):
            self._said = now
            share = f"{done:,} of {self._total:,} {_unit(self._name)}"
            self._console.print(f"  {self._name}: {share}  {rate}  {shown}".rstrip())

    def note(self, text: str) -> None:
        """A line that stands out."""
        self._progress.console.print(f"[bold yellow]note:[/] {escape(text)}")


def _unit(name: str) -> str:
    return UNITS.get(name, "")
