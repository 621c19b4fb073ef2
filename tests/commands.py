"""``zobench`` commands in processes of their own, forked from one that has loaded torch and typer.

Starting Python and loading torch takes longer than most of these commands. A test of how a process
starts or leaves, or of what it loads, starts ``python -m zobench`` itself.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from zobench_plugins.executors.fork_server import PRELOADED

import zobench.cli

ALSO_LOADED = (
    *("pydantic.types", "rich.markdown", "rich.progress", "rich.table"),
    *("zobench.cli.app", "zobench.runs.lifecycle", "zobench.testing"),
    *("zobench_encoders.registration", "zobench_plugins.registration"),
)
"""What most commands load, a third of their time; nothing here asks for the terminal when loaded."""

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([*PRELOADED, *ALSO_LOADED])
InProcess = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture ``here``: a command carried out in the process of the tests."""

SECONDS = 300
"""The longest time that a command may take."""


class Command:
    """A command that runs, or has run, with the methods of :class:`subprocess.Popen` that tests use.

    Attributes:
        pid: The process.
        words: The command's arguments.
    """

    def __init__(
        self,
        *words: str,
        cwd: Path | None = None,
        own_session: bool = False,
        descriptors: int = 0,
        **variables: str,
    ) -> None:
        """Starts a command.

        Args:
            *words: The arguments of ``zobench``.
            cwd: The working directory; that of the tests if ``None``.
            own_session: Whether the process leads a new session.
            descriptors: The number of files that the process may open; 0 for the usual number.
            **variables: Environment variables beside those of the tests.
        """
        self.words = words
        folder = Path(tempfile.mkdtemp(prefix="zobench-command-"))
        self._outputs = folder / "output", folder / "errors"
        for each in self._outputs:
            each.touch()
        arguments = (
            words,
            cwd or Path.cwd(),
            {**os.environ, **variables},
            self._outputs,
            own_session,
            descriptors,
        )
        self._process = CONTEXT.Process(target=_become, args=arguments)
        self._process.start()
        weakref.finalize(self, _clear, self._process, folder)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; ``None`` while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float = SECONDS) -> int:
        """Waits for the end; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: The process still runs.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.words, timeout)
        return code

    @property
    def returncode(self) -> int:
        """The exit code of a process that has ended."""
        return self.wait(0)

    def communicate(self, timeout: float = SECONDS) -> tuple[str, str]:
        """Waits for the end; returns standard output and standard error."""
        self.wait(timeout)
        return self.said()

    def said(self) -> tuple[str, str]:
        """What came on standard output and on standard error so far."""
        out, errors = self._outputs
        return out.read_text(), errors.read_text()

    def send_signal(self, number: int) -> None:
        """Sends a signal unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL unless the process has ended."""
        self.send_signal(signal.SIGKILL)


def run_command(
    *words: str, cwd: Path | None = None, timeout: float = SECONDS, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; the arguments are those of :class:`Command`."""
    command = Command(*words, cwd=cwd, **variables)
    try:
        out, errors = command.communicate(timeout)
    finally:
        command.kill()
    return subprocess.CompletedProcess(words, command.returncode, out, errors)


def _clear(process: ForkServerProcess, folder: Path) -> None:
    """Leaves nothing of a command whose test is over, or failed, behind."""
    process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _become(
    words: tuple[str, ...],
    folder: Path,
    variables: Mapping[str, str],
    outputs: tuple[Path, Path],
    own_session: bool,
    descriptors: int,
) -> None:
    """Makes this process the one of a command."""
    if own_session:
        os.setsid()
    for descriptor, path in enumerate((Path(os.devnull), *outputs)):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, descriptor)
        os.close(opened)
    if descriptors:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["zobench", *words]
    try:
        zobench.cli.process()
    finally:
        atexit._run_exitfuncs()
