"""Progress on a pseudo-terminal, with keys typed into it."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

CONTROLLING = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
LIVE = """
import time
from zobench.cli.display.progress import ConsoleListener
from zobench.runs.signals import stop_on_signal
with ConsoleListener() as listener, stop_on_signal(listener) as stopped:
    listener.phase("optimize", 500)
    for done in range(500):
        listener.update(done, objective=-0.1)
        time.sleep(0.02)
        if stopped():
            break
print("ended")
"""


class Terminal:
    """A pseudo-terminal, with the output that its user would see in ``seen``."""

    def __init__(self) -> None:
        self.mine, self.theirs = pty.openpty()
        self.seen = b""

    def start(self, code: str, columns: int = 100) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns)},
        )

    def read_until(self, text: bytes, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.mine], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear in {self.seen!r}"
            self.seen += os.read(self.mine, 4096)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    os.close(found.mine)
    os.close(found.theirs)


def test_keys_are_not_echoed_into_the_bars_and_the_terminal_is_left_as_it_was(
    terminal: Terminal,
) -> None:
    before = termios.tcgetattr(terminal.theirs)
    assert before[3] & termios.ECHO
    child = terminal.start(CONTROLLING + LIVE)
    terminal.read_until(b"optimize")
    os.write(terminal.mine, b"\x1b[A\x03")
    terminal.read_until(b"ended")
    assert child.wait(30) == 0
    assert b"stopping after the current batch" in terminal.seen
    assert b"^C" not in terminal.seen
    assert b"\x1b[A\x03" not in terminal.seen
    assert termios.tcgetattr(terminal.theirs) == before


@pytest.mark.parametrize("columns", [80, 130])
def test_bars_stay_on_one_line_and_a_phase_that_ends_early_stops(
    terminal: Terminal, columns: int
) -> None:
    phases = """
import time
from zobench.cli.display.progress import ConsoleListener
with ConsoleListener() as listener:
    listener.phase("optimize", 12800)
    for done in (0, 64, 11520):
        listener.update(done, objective=-0.123, accuracy=0.5)
        time.sleep(0.4)
    listener.phase("score", 26080)
    for done in (0, 64, 26080):
        listener.update(done, objective=-0.123, accuracy=0.5)
        time.sleep(0.4)
print("ended")
"""
    child = terminal.start(phases, columns=columns)
    terminal.read_until(b"ended")
    assert child.wait(30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode())
    shown = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    assert max(map(len, shown)) <= columns
    *_, optimize, score, _ = shown
    assert "11520/12800" in optimize
    assert re.search(r"in 0:00:0\d +objective -0\.123", optimize)
    assert "26080/26080" in score
    assert ("accuracy 0.500" in score) == (columns == 130)


def test_a_terminal_that_is_not_the_sessions_own_is_left_alone(terminal: Terminal) -> None:
    """The process has no controlling terminal, as under setsid or some job launchers."""
    child = terminal.start(LIVE.replace("500", "20"))
    terminal.read_until(b"ended")
    assert child.wait(30) == 0
    assert b"Traceback" not in terminal.seen
