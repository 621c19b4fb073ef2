"""Progress on a real terminal: a pseudo-terminal of its own, Ctrl-C typed into it."""

from __future__ import annotations

import os
import pty
import sys
import termios
import time

LIVE = """
import time
from zobench.cli.console import ConsoleListener
from zobench.signals import stop_on_signal
with ConsoleListener() as listener, stop_on_signal(listener) as stopped:
    listener.phase("optimize", 1000)
    for done in range(1000):
        listener.update(done, objective=-0.1)
        time.sleep(0.02)
        if stopped():
            time.sleep(0.3)
            break
print("ended")
"""


def test_ctrl_c_is_noted_but_not_echoed_into_the_bars_and_the_terminal_is_left_as_it_was() -> None:
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.environ.update(TERM="xterm", COLUMNS="100")
        os.execv(sys.executable, [sys.executable, "-W", "ignore", "-c", LIVE])
    before = termios.tcgetattr(terminal)
    assert before[3] & termios.ECHOCTL
    seen = b""
    deadline = time.monotonic() + 60
    typed = False
    while time.monotonic() < deadline:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not typed and b"optimize" in seen:
            os.write(terminal, b"\x03")
            typed = True
        if b"ended" in seen:
            assert termios.tcgetattr(terminal) == before
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"stopping after the current batch" in seen
    assert b"ended" in seen
    assert b"^C" not in seen
