"""The executor for one machine: a process of its own for each run, forked by a server."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from zobench.contracts.executor import ExecutorRequest, Outcome, Progress
from zobench.errors import ConfigError
from zobench.files.json_files import Json
from zobench.suite.attempts import progress_folder
from zobench.suite.planning import Job
from zobench.suite.work import read_progress

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
READ_BYTES = 65_536
END_SECONDS = 5.0
"""Seconds that the server has to end after its runs were killed."""


class LocalExecutor:
    """Carries out each run in a process of its own; see :mod:`.fork_server`."""

    def __init__(self, request: ExecutorRequest) -> None:
        """Starts no process; the cores are divided among the jobs unless ``request`` sets them.

        Raises:
            ConfigError: The request asks for GPUs or memory, which only Ray and SLURM assign.
        """
        import joblib

        if request.resources.gpus or request.resources.memory:
            raise ConfigError(
                "--gpus-per-run and --memory-per-run are for --executor ray or slurm; here all runs "
                "share the machine: choose --jobs to fit, and the GPU by device under [run]"
            )
        self._jobs = request.jobs or 1
        self._threads = request.resources.cpus or max(1, joblib.cpu_count() // self._jobs)
        self._server: _Server | None = None
        self._running: dict[int, Job] = {}
        self._ended: list[tuple[Job, Outcome]] = []
        self._submitted = 0

    @property
    def capacity(self) -> int:
        """Runs that may be started now."""
        return self._jobs - len(self._running) - len(self._ended)

    def submit(self, job: Job) -> None:
        """Starts the process of a run."""
        if self._server is None:
            self._server = _Server(self._threads)
        self._submitted += 1
        self._running[self._submitted] = job
        self._server.start(self._submitted, job)

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """Jobs that ended; one whose process died is ``lost``."""
        deadline = time.monotonic() + timeout
        while not self._ended and (left := deadline - time.monotonic()) > 0:
            if self._server is None:
                time.sleep(left)
            else:
                self._hear(self._server, left)
        while self._ended:
            yield self._ended.pop(0)

    def progress(self, job: Job) -> Progress | None:
        """The progress that the run's process wrote to its file."""
        return read_progress(progress_folder(job) if job.url else job.folder)

    def cancel(self) -> None:
        """Sends SIGTERM to the process of every run."""
        if self._server is not None:
            self._server.interrupt()

    def close(self) -> None:
        """Kills all processes."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _hear(self, server: _Server, seconds: float) -> None:
        for message in server.messages(seconds):
            job = self._running.pop(message["number"])
            if "outcome" in message:
                self._ended.append((job, Outcome(**message["outcome"])))
            else:
                self._ended.append((job, Outcome("lost", f"its process died ({message['died']})")))
        if server.ended:
            words = "the process that starts the runs died"
            self._ended += [(job, Outcome("lost", words)) for job in self._running.values()]
            self._running.clear()
            self.close()


@dataclass
class _Server:
    """The parent's side of the fork server.

    Attributes:
        threads: Threads of each run.
        ended: Whether the server has ended.
    """

    threads: int
    ended: bool = False
    _processes: dict[int, int] = field(default_factory=dict)
    _said: bytes = b""
    _cancelled: bool = False

    def __post_init__(self) -> None:
        threads = str(self.threads)
        module, path = "zobench_plugins.executors.fork_server", json.dumps(sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, threads, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, threads)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._sink, self._source = self._process.stdin, self._process.stdout
        os.set_blocking(self._source.fileno(), False)
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._source, selectors.EVENT_READ)

    def start(self, number: int, job: Job) -> None:
        """Has the server start the process of a run."""
        from .run_process import job_to_json

        message = json.dumps({"number": number, "job": job_to_json(job)}).encode() + b"\n"
        with suppress(BrokenPipeError):  # ``messages`` finds out that the server has ended
            self._sink.write(message)
            self._sink.flush()

    def messages(self, seconds: float) -> Iterator[Json]:
        """Messages about runs that ended; waits at most so many seconds for the first."""
        self._waiting.select(seconds)
        content = self._source.read(READ_BYTES)
        self.ended = content == b""
        *lines, self._said = (self._said + (content or b"")).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "process" in message:
                self._processes[message["number"]] = message["process"]
                if self._cancelled:
                    _signal(message["process"], signal.SIGTERM)
            else:
                self._processes.pop(message["number"], None)
                yield message

    def interrupt(self) -> None:
        """Sends SIGTERM to the process of every run, also to one that has not started yet."""
        self._cancelled = True
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)

    def close(self) -> None:
        """Kills the processes of all runs, and ends the server.

        If the server has ended by itself, the runs save their state first.
        """
        by_itself = self.ended
        list(self.messages(0.0))
        for process in self._processes.values():
            _signal(process, signal.SIGTERM if by_itself else signal.SIGKILL)
        with suppress(BrokenPipeError):
            self._sink.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._waiting.close()
        self._source.close()


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
