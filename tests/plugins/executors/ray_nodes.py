"""A Ray cluster of several nodes in a separate network namespace; tests can kill its parts."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PORT = 6399
STORE_BYTES = 90_000_000
PATIENCE = 60.0
IP = shutil.which("ip", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])) or ""
Held = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Process:
    number: int
    command: str
    session: int


class RayNodes:
    """A cluster of nodes with one core each; the processes of a node form a session.

    Attributes:
        environment: Environment variables of all processes in the cluster.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, f"zobench-{secrets.token_hex(3)}"
        self._started: list[Held] = []
        # the path of a socket must be short
        self._sockets = Path("/tmp") / f"zb-{secrets.token_hex(3)}"
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        self._ip("netns", "add", self._name)
        self._ip("-n", self._name, "link", "set", "lo", "up")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{PORT}"

    def _ip(self, *words: str) -> str:
        return subprocess.run([IP, *words], check=True, capture_output=True, text=True).stdout

    def start(self, *words: str, log: str) -> Held:
        """Starts a command in the namespace."""
        with (self._folder / log).open("ab") as out:
            started = subprocess.Popen(
                [IP, "netns", "exec", self._name, *words],
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def head(self) -> Held:
        """Starts the head node."""
        return self._node(
            "--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={self._sockets}"
        )

    def node(self) -> Held:
        """Starts another node."""
        return self._node(f"--address={self.address}")

    def _node(self, *words: str) -> Held:
        common = (
            "ray",
            "start",
            "--block",
            "--disable-usage-stats",
            "--num-cpus=1",
            f"--object-store-memory={STORE_BYTES}",
            "--node-ip-address=127.0.0.1",
        )
        started = self.start(*common, *words, log="ray.log")
        self.wait_for(lambda: started.poll() is not None or self.raylets(started))
        time.sleep(4)  # time to register; two nodes that start at once hinder each other
        return started

    def raylets(self, node: Held) -> list[Process]:
        """The raylet processes of a node."""
        return [each for each in self.processes(node) if "/raylet/raylet" in each.command]

    def wait_for(self, holds: Callable[[], object], seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, (self._folder / "ray.log").read_text()[-2000:]
            time.sleep(0.05)

    def processes(self, node: Held | None = None) -> list[Process]:
        """The processes of the namespace, or of one node."""
        found = []
        for word in self._ip("netns", "pids", self._name).split():
            with suppress(OSError):
                command = Path(f"/proc/{word}/cmdline").read_text().replace("\0", " ")
                found.append(Process(int(word), command, os.getsid(int(word))))
        return [each for each in found if node is None or each.session == node.pid]

    def at_work(self, node: Held | None = None) -> list[Process]:
        """The worker processes that carry out a run."""
        return [each for each in self.processes(node) if "ray::carry_out" in each.command]

    def kill(self, processes: list[Process], number: signal.Signals = signal.SIGKILL) -> None:
        for each in processes:
            with suppress(ProcessLookupError):
                os.kill(each.number, number)

    def close(self) -> None:
        self.wait_for(lambda: self.kill(self.processes()) or not self.processes())
        for each in self._started:
            each.wait(PATIENCE)
        self._ip("netns", "del", self._name)
        shutil.rmtree(self._sockets, ignore_errors=True)


@contextmanager
def ray_nodes(folder: Path) -> Iterator[RayNodes]:
    made = RayNodes(folder)
    try:
        yield made
    finally:
        made.close()


def why_not() -> str:
    """The reason why no cluster can be started on this machine; empty if there is none."""
    import importlib.util

    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: python -m pip install 'zobench[ray]'"
    if not IP:
        return "network namespaces need the command ip, of iproute2"
    name = f"zobench-{secrets.token_hex(3)}"
    if subprocess.run([IP, "netns", "add", name], capture_output=True, check=False).returncode:
        return "network namespaces need root"
    subprocess.run([IP, "netns", "del", name], check=True)
    return ""
