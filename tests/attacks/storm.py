"""Attacks on a server over real sockets, and a watch on its health and memory meanwhile."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20.0
"""Time-out of one exchange."""


def exchange(port: int, content: bytes, seconds: float = SECONDS) -> bytes:
    """Sends bytes on a new connection; returns the beginning of the answer, empty if none came."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), seconds) as line:
        with suppress(OSError):  # the server may answer and close before everything is sent
            line.sendall(content)
        return line.recv(65_536)
    return b""


def status(answer: bytes) -> int:
    """The HTTP status of an answer; 0 if there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


def http(path: str, body: bytes = b"", *headers: str, method: str = "POST") -> bytes:
    """The bytes of a request that closes its connection."""
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body


@dataclass
class Watch:
    """What a client that asks for the health of a server saw.

    Attributes:
        seconds: How long each answer took.
        failures: How often no answer came.
    """

    seconds: list[float] = field(default_factory=list)
    failures: int = 0


@contextmanager
def watched(port: int) -> Iterator[Watch]:
    """Asks for the health twenty times a second, and at least once, on new connections."""
    watch, over = Watch(), threading.Event()

    def look() -> None:
        while True:
            began = time.perf_counter()
            answer = exchange(port, http("/v2/health/live", method="GET"))
            if status(answer) == 200:
                watch.seconds.append(time.perf_counter() - began)
            else:
                watch.failures += 1
            if over.wait(0.05):
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def resident(process: int) -> float:
    """The resident memory of a process in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1e3


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Calls a function in threads with the numbers from 0, and waits for all."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A request with some bytes changed, cut, doubled or replaced by something hostile."""
    result = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(result) + 1)
        match rng.randrange(5):
            case 0:
                result[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del result[at : at + rng.randint(1, 40)]
            case 2:
                result[at:at] = rng.choice(HOSTILE)
            case 3:
                result[at:at] = result[at : at + rng.randint(1, 60)]
            case _:
                result = result[: max(at, 1)] if rng.random() < 0.2 else result
    return bytes(result)


HOSTILE = (
    b"\r\n",
    b"\r\n\r\n",
    b"\0" * 8,
    b"[" * 2_000,
    b'{"a":' * 500,
    b"9" * 5_000,
    b"1e999",
    b"NaN",
    b"-1",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"\xff\xfe\xfd",
    b"data:image/png;base64,",
    b"../" * 20,
)


def fuzz(port: int, requests: list[bytes], count: int, threads: int = 32) -> Counter[int]:
    """Sends mutated requests, and counts the answers by status; 0 where none came."""
    found: list[Counter[int]] = [Counter() for _ in range(threads)]

    def attack(number: int) -> None:
        rng = random.Random(number)
        for _ in range(count // threads):
            content = mutated(rng.choice(requests), rng)
            found[number][status(exchange(port, content, 0.5))] += 1

    in_threads(threads, attack)
    return sum(found, Counter[int]())


@contextmanager
def slow_clients(port: int, count: int, beginning: bytes) -> Iterator[None]:
    """Clients that send a beginning, and then one byte ten times a second."""
    over, lines = threading.Event(), []
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port), SECONDS)
        line.sendall(beginning)
        lines.append(line)

    def drip() -> None:
        while not over.wait(0.1):
            for line in lines:
                with suppress(OSError):
                    line.send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for line in lines:
            line.close()
