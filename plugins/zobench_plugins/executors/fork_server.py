"""A process with torch loaded that forks one process per run, so that no run meets another's state.

The server itself never imports or calls a plugin. Each run's process begins as a copy of the server
(milliseconds instead of the seconds of ``import torch``) and ends with the run. The processes that a
run has started, and that are still in its process group, end with it.

The parent and the server exchange JSON lines over the server's standard input and output. When the
parent ends, in whatever way, the server's input ends; then every run saves its state.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import selectors
import signal
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import NoReturn

from zobench.files.json_files import Json
from zobench.runs.canvas import new_figure
from zobench.runs.result_cache import code_digest
from zobench.suite.planning import Job

from .run_process import SAVE_SECONDS, carried_out, job_from_json, leave

PRELOADED = (
    "torch",
    "scipy.optimize",
    "scipy.ndimage",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "filelock",
    "joblib",
    "PIL.Image",
    "safetensors.torch",
    "platformdirs",
)
"""Libraries that all runs use; loaded before the first fork."""

LEARNED = ("nevergrad", "timm")
"""Libraries that some runs use; once a run has ended that used one, it is loaded before the next fork.

They take seconds to load, which a suite of a remote encoder need not wait for.
"""

PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals to a whole process group, which the parent handles: it then stops every run."""

LEFTOVER_SECONDS = 2.0
"""Seconds after the end of a run in which the processes that it started may end by themselves."""

POLL_SECONDS = 0.2
READ_BYTES = 65_536


@dataclass
class _Child:
    """The process of one run.

    Attributes:
        number: The number of the job in messages.
        reader: The end of the pipe on which the outcome comes.
        said: What came on the pipe so far.
    """

    number: int
    reader: int
    said: bytearray = field(default_factory=bytearray)


class ForkServer:
    """Forks processes, reports how they ended, and removes what they left behind."""

    def __init__(self, threads: int, source: int, sink: int) -> None:
        """Waits for messages.

        Args:
            threads: Threads of each run.
            source: Descriptor of the parent's messages.
            sink: Descriptor for messages to the parent.
        """
        self._threads, self._source, self._sink = threads, source, sink
        self._process = os.getpid()
        self._children: dict[int, _Child] = {}
        self._left: list[tuple[float, int]] = []
        self._used: set[str] = set()
        self._messages = bytearray()
        self._wake, self._waker = os.pipe()
        for descriptor in (self._wake, self._waker, source):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._waiting = selectors.DefaultSelector()
        for descriptor in (source, self._wake):
            self._waiting.register(descriptor, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serves until the parent closes its end."""
        while self._take_messages():
            self._waiting.select(POLL_SECONDS)
            self._reap()
        self._end()

    def _take_messages(self) -> bool:
        """Starts the jobs that came; false once the parent has closed its end."""
        with suppress(BlockingIOError):
            os.read(self._wake, READ_BYTES)
        with suppress(BlockingIOError):
            while content := os.read(self._source, READ_BYTES):
                self._messages += content
            return False
        *lines, rest = bytes(self._messages).split(b"\n")
        self._messages = bytearray(rest)
        for line in lines:
            values = json.loads(line)
            self._start(values["number"], job_from_json(values["job"]))
        return True

    def _start(self, number: int, job: Job) -> None:
        while self._used:
            with suppress(Exception):  # the run then loads it, or says why it cannot
                importlib.import_module(self._used.pop())
        try:
            reader, writer = os.pipe()
            with warnings.catch_warnings():  # OpenBLAS has threads, and ends them before a fork
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
        except OSError as error:  # too many processes or open files
            self._tell({"number": number, "died": str(error)})
            return
        if process == 0:
            self._become_run(job, writer)
        os.close(writer)
        os.set_blocking(reader, False)
        self._children[process] = _Child(number, reader)
        self._waiting.register(reader, selectors.EVENT_READ)
        self._tell({"number": number, "process": process})

    def _become_run(self, job: Job, writer: int) -> NoReturn:
        """Carries out a job in the forked process, which never returns."""
        status = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            for descriptor in (self._source, self._sink, self._wake, self._waker):
                os.close(descriptor)
            for child in self._children.values():
                os.close(child.reader)
            outcome = asdict(carried_out(job, self._threads, self._process))
            used = [name for name in LEARNED if name in sys.modules]
            os.write(writer, json.dumps({"outcome": outcome, "used": used}).encode() + b"\n")
            status = 0
        finally:
            leave(status)
        raise AssertionError("unreachable")

    def _reap(self) -> None:
        """Reports the runs that have ended."""
        for child in self._children.values():
            self._hear(child)
        while self._children:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                break
            if process not in self._children:  # of a library, not of a run
                continue
            child = self._children.pop(process)
            self._hear(child)
            self._waiting.unregister(child.reader)
            os.close(child.reader)
            self._left.append((time.monotonic() + LEFTOVER_SECONDS, process))
            ending = _ending(bytes(child.said), status)
            self._used |= {*ending.pop("used", ())} & {*LEARNED}
            self._tell({"number": child.number, **ending})
        now = time.monotonic()
        for moment, process in [left for left in self._left if left[0] < now]:
            if process not in self._children:  # else the number was given to a later run
                _kill_group(process)
            self._left.remove((moment, process))

    def _hear(self, child: _Child) -> None:
        with suppress(BlockingIOError):
            while content := os.read(child.reader, READ_BYTES):
                child.said += content

    def _tell(self, message: Json) -> None:
        with suppress(BrokenPipeError):  # the parent has ended
            os.write(self._sink, json.dumps(message).encode() + b"\n")

    def _end(self) -> None:
        """Asks every run to save its state, and ends what goes on afterwards."""
        self._waiting.unregister(self._source)
        for seconds in (SAVE_SECONDS, SAVE_SECONDS):
            for process in self._children:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while self._children and time.monotonic() < deadline:
                self._waiting.select(POLL_SECONDS)
                with suppress(BlockingIOError):
                    os.read(self._wake, READ_BYTES)
                self._reap()
        for process in [*self._children, *(group for _, group in self._left)]:
            _kill_group(process)


def _ending(said: bytes, status: int) -> Json:
    """The outcome that a run wrote, and which of ``LEARNED`` it used; if none, how its process ended."""
    if said.endswith(b"\n"):
        with suppress(ValueError):
            message: Json = json.loads(said)
            return message
    code = os.waitstatus_to_exitcode(status)
    return {"died": f"signal {-code}" if code < 0 else f"exit status {code}"}


def _kill_group(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _warm_up() -> None:
    """Computes once what every run would compute: the digest of the code, and matplotlib's fonts."""
    code_digest()
    figure = new_figure(1.0, 1.0)
    figure.subplots().set_title("1.0")
    figure.savefig(io.BytesIO())


def main() -> None:
    """Loads the libraries and serves; the arguments are the threads of a run and the parent's path."""
    sys.path[:] = json.loads(sys.argv[2])
    source, sink = os.dup(0), os.dup(1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what plugins print must not get between the messages
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for name in PRELOADED:
        importlib.import_module(name)
    _warm_up()
    ForkServer(int(sys.argv[1]), source, sink).serve()


if __name__ == "__main__":
    main()
