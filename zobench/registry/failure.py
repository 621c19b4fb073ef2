"""Turns an exception that zobench does not know into one line, and keeps its traceback in a file."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from zobench.errors import RunFailure, StoreError, ZobenchError

if TYPE_CHECKING:
    from zobench.files.location import Location

CARRIERS = ("zobench", "contextlib", "functools", "click", "typer")
"""Packages whose frames are not at fault while a frame of another package is there."""

MAX_CHARACTERS = 300


def run_failure(error: BaseException, place: Location | None = None) -> RunFailure:
    """The error that tells the user of an exception, in one line; it is raised ``from`` the exception.

    Args:
        error: Any exception, from the code of a plugin or of zobench.
        place: The file for the traceback; ``None`` for a new file among the temporary files.
    """
    text = " ".join(_text(error).split())[:MAX_CHARACTERS]
    name = type(error).__name__
    return RunFailure(
        f"{f'{name}: {text}' if text else name}, raised {_origin(error.__traceback__)}"
        f"{_kept(error, place)}"
    )


@contextmanager
def plugin_code() -> Iterator[None]:
    """Raises an exception of the block that zobench does not know as a ``RunFailure``.

    A ``KeyboardInterrupt`` passes if the user pressed Ctrl-C, but not if a plugin raised it. What the
    block prints goes to standard error.
    """
    with _ctrl_c() as pressed, aside():
        try:
            yield
        except ZobenchError:
            raise
        except BaseException as error:  # SystemExit as well
            if isinstance(error, KeyboardInterrupt) and pressed:
                raise
            raise run_failure(error) from error


def aside() -> AbstractContextManager[object]:
    """Sends what a plugin prints to standard error; standard output holds results only."""
    return redirect_stdout(sys.stderr)


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """A list that is not empty once SIGINT came; the signal still raises ``KeyboardInterrupt``."""
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield came
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # the exception's own code failed
        return "its text cannot be read"


def _origin(trace: TracebackType | None) -> str:
    """The first frame outside of zobench and of the libraries that it calls the plugin through."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(trace)]
    for frame, line in frames:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in CARRIERS:
            code = frame.f_code
            return f"by {code.co_qualname} ({Path(code.co_filename).name}, line {line})"
    if not frames:
        return "outside of any code"
    frame, line = frames[-1]
    where = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return f"by zobench itself ({where}): a bug, please report it"


def _kept(error: BaseException, place: Location | None) -> str:
    """Writes the traceback to a file; returns the end of the message, which names the file."""
    import tempfile

    from zobench.files.atomic import write_atomically

    try:
        content = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
    except BaseException:  # the exception's own code failed
        content = b"the traceback cannot be shown, because the exception's own text fails\n"
    with suppress(StoreError, OSError):
        if place is None:
            with tempfile.NamedTemporaryFile(
                prefix="zobench-traceback-", suffix=".txt", delete=False
            ) as file:
                file.write(content)
            return f"; traceback: {file.name}"
        write_atomically(place, content)
        return f"; traceback: {place}"
    return ""
