"""Progress on a pseudo-terminal, with keys typed into it."""

from __future__ import annotations

import os
import pty
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

    def start(self, code: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
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


def test_a_terminal_that_is_not_the_sessions_own_is_left_alone(terminal: Terminal) -> None:
    """The process has no controlling terminal, as under setsid or some job launchers."""
    child = terminal.start(LIVE.replace("500", "20"))
    terminal.read_until(b"ended")
    assert child.wait(30) == 0
    assert b"Traceback" not in terminal.seen
