"""Handles Ctrl-C and SIGTERM: the first signal requests a stop, the second stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from zobench.contracts.listener import Listener

NOTE = "stopping after the current batch; press Ctrl-C again to stop at once"


class Stop:
    """A flag that a signal sets to request a stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """True after the first signal."""
        return self.asked


@contextmanager
def stop_on_signal(listener: Listener, stop: Stop | None = None) -> Iterator[Stop]:
    """The first Ctrl-C (or SIGTERM) stops after the current batch, the second at once.

    Args:
        listener: Receives a note at the first signal.
        stop: The flag that the first signal sets; ``None`` for a new one.
    """
    stop = stop or Stop()
    notes: list[Thread] = []

    def handle(number: int, frame: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        # in a thread of its own: the signal may have interrupted the listener while it was drawing
        notes.append(Thread(target=listener.note, args=(NOTE,)))
        notes[0].start()

    heard = [
        each
        for each in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(each) is not signal.SIG_IGN  # the parent process chose to ignore it
    ]
    try:
        before = {each: signal.signal(each, handle) for each in heard}
    except ValueError:  # only the main thread can install signal handlers
        yield stop
        return
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for note in notes:
            note.join()
