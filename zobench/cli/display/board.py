"""The board of a suite: a live table of all runs, or one line per change of a run status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from zobench.records.identity import label

from .console import PrintableConsole, error_console
from .progress import unechoed_keys

if TYPE_CHECKING:
    from zobench.contracts.executor import Executor, Progress
    from zobench.suite.planning import Job
    from zobench.suite.running import Standing

    Standings = Mapping[Job, Standing]

ORDER = ("failed", "running", "elsewhere", "waiting", "interrupted", "done")
"""Run statuses in the order in which rows are kept if the screen is too small for all rows."""
STYLES = {"done": "green", "failed": "red", "running": "bold", "elsewhere": "yellow"}
FRAME = 7
"""Number of screen lines that the board needs beside the rows of the table."""


class LiveBoard:
    """The board for a terminal: a table that is redrawn; use as a context manager."""

    def __init__(self, progress: Callable[[Job], Progress | None]) -> None:
        self._console = PrintableConsole(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._progress = progress
        self._clock = Clock()

    def __enter__(self) -> LiveBoard:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, value, trace)

    def show(self, standings: Standings, errors: Mapping[Job, str]) -> None:
        """Redraws the table."""
        self._clock.look(standings)
        room = max(3, self._console.height - FRAME)
        chosen = sorted(standings, key=lambda job: ORDER.index(standings[job]))[:room]
        table = _table()
        for job in (job for job in standings if job in set(chosen)):
            at = standings[job] in ("running", "elsewhere")
            table.add_row(*_row(job, standings[job], self._progress(job) if at else None))
        hidden = len(standings) - len(chosen)
        more = Text(f"… and {hidden} more", style="dim") if hidden else Text("")
        left = self._clock.left(standings)
        self._live.update(Group(table, more, Text(counts(standings) + left)), refresh=True)

    def phase(self, name: str, total: int) -> None:
        """Does nothing: the table shows the phases of the runs."""

    def update(self, done: int, **figures: float) -> None:
        """Does nothing: the table shows the progress of the runs."""

    def note(self, text: str) -> None:
        """A line above the table."""
        self._live.console.print(f"[bold yellow]note:[/] {escape(text)}")


class LineBoard:
    """The board for a log: prints one line when the standing of a run changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = Clock()
        self._before: dict[Job, Standing] = {}

    def show(self, standings: Standings, errors: Mapping[Job, str]) -> None:
        """Prints the runs whose standing changed since the last call."""
        self._clock.look(standings)
        for job, standing in standings.items():
            if self._before.get(job) != standing and standing != "waiting":
                error = f": {errors[job]}" if job in errors else ""
                name = f"{job.folder.name}{error}"
                self._console.print(
                    f"{standing:<11} {name}", markup=False, highlight=False, soft_wrap=True
                )
        if self._before != standings:
            left = self._clock.left(standings)
            self._console.print(counts(standings) + left, highlight=False, soft_wrap=True)
        self._before = dict(standings)

    def phase(self, name: str, total: int) -> None:
        """Does nothing: a log does not show phases."""

    def update(self, done: int, **figures: float) -> None:
        """Does nothing: a log does not show progress."""

    def note(self, text: str) -> None:
        """Prints a note."""
        self._console.print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)


class Clock:
    """Measures how long finished runs took, and estimates the time left."""

    def __init__(self) -> None:
        self._began: dict[Job, float] = {}
        self._took: list[float] = []

    def look(self, standings: Standings) -> None:
        """Records the start time of new runs and the duration of finished runs."""
        now = time.monotonic()
        for job, standing in standings.items():
            if standing == "running":
                self._began.setdefault(job, now)
            elif standing == "done" and job in self._began:
                self._took.append(now - self._began.pop(job))

    def left(self, standings: Standings) -> str:
        """The estimated time left, in words; empty until the first run is done."""
        if not self._took:
            return ""
        one, now = sum(self._took) / len(self._took), time.monotonic()
        waiting = sum(standing == "waiting" for standing in standings.values())
        running = [
            max(0.0, one - (now - self._began.get(job, now)))
            for job, standing in standings.items()
            if standing == "running"
        ]
        return f"   about {_duration((waiting * one + sum(running)) / max(1, len(running)))} left"


def counts(standings: Standings) -> str:
    """The number of runs per standing, in words."""
    values = list(standings.values())
    words = [f"{values.count(status)} {status}" for status in ORDER[::-1] if status in values]
    return f"{len(values)} runs: {', '.join(words)}"


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("", "optimizer", "dataset", "disease", "encoder", "seed"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("phase", "done", "speed", "left"):
        table.add_column(heading, no_wrap=True, justify="right")
    return table


def _row(job: Job, standing: Standing, now: Progress | None) -> list[str | Text]:
    config = job.config
    names = [label(config), config.dataset, config.disease, config.encoder]
    state = Text(standing, style=STYLES.get(standing, "dim"))
    return [state, *map(escape, names), str(config.seed), *_progress(standing, now)]


def _progress(standing: Standing, now: Progress | None) -> list[str]:
    if now is None:
        return ["starting" if standing == "running" else "", "", "", ""]
    if not now.total:
        return [escape(now.phase), "", "", ""]
    seconds = now.at - now.since
    rate = now.done / seconds if seconds > 1 else 0.0
    left = _duration((now.total - now.done) / rate) if rate else ""
    return [now.phase, f"{now.done / now.total:.0%}", f"{rate:,.0f}/s" if rate else "", left]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def board_for(executor: Executor[Job]) -> Iterator[LiveBoard | LineBoard]:
    """The board for the jobs of an executor: a table on a terminal, lines elsewhere."""
    console = error_console()
    if not console.is_terminal:
        yield LineBoard(console)
        return
    with unechoed_keys(), LiveBoard(executor.progress) as board:
        yield board
