"""Handles Ctrl-C and SIGTERM: the first signal requests a stop, the second stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread

from zobench.contracts.listener import Listener

Handler = Callable[[int, object], None] | signal.Handlers

STOPS = (signal.SIGINT, signal.SIGTERM)

NOTE = "stopping after the current batch; press Ctrl-C again to stop at once"


class Stop:
    """A flag that a signal sets to request a stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """True after the first signal."""
        return self.asked


@contextmanager
def stop_on_signal(
    listener: Listener, stop: Stop | None = None, hears: Sequence[signal.Signals] = STOPS
) -> Iterator[Stop]:
    """The first Ctrl-C (or SIGTERM) stops after the current batch, the second at once.

    Args:
        listener: Receives a note at the first signal.
        stop: The flag that the first signal sets; ``None`` for a new one.
        hears: The signals that stop.
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

    with _handled(hears, handle):
        try:
            yield stop
        finally:
            for note in notes:
                note.join()


@contextmanager
def unstoppable(ignored: Sequence[signal.Signals] = STOPS) -> Iterator[None]:
    """Ignores signals while what must not be lost is written."""
    with _handled(ignored, signal.SIG_IGN):
        yield


@contextmanager
def _handled(signals: Sequence[signal.Signals], handler: Handler) -> Iterator[None]:
    """Handles those signals that the parent process did not choose to ignore."""
    heard = [
        candidate for candidate in signals if signal.getsignal(candidate) is not signal.SIG_IGN
    ]
    try:
        before = {number: signal.signal(number, handler) for number in heard}
    except ValueError:  # only the main thread can install signal handlers
        yield
        return
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
