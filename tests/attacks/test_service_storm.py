"""A storm on ``zobench serve``: it stays healthy, gives its memory back, and answers as before.

``pytest --lengthy only -s -n 0 -k storm`` prints the figures that docs/reference/reliability.md holds.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from attacks.storm import (
    exchange,
    fuzz,
    http,
    in_threads,
    resident,
    slow_clients,
    status,
    watched,
)
from served import Served, served

from zobench.serving import oip

pytestmark = [pytest.mark.usefixtures("tiny_installed"), pytest.mark.lengthy]

TOKEN = "s3cret"
AUTHORIZED = f"Authorization: Bearer {TOKEN}"
INFER = "/v2/models/tiny/infer"
FUZZED = 20_000
ROOM = 128.0
"""MB that the memory may differ by before and after: caches of torch and of the allocator."""


def requests() -> list[bytes]:
    """Requests of every kind that the server answers with 200."""
    images = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
    raw, headers = oip.write_tensor("inputs", "images", images, binary=True)
    plain, _ = oip.write_tensor("inputs", "images", images, binary=False)
    length = f"{oip.HEADER}: {headers[oip.HEADER]}"
    return [
        http(INFER, raw, AUTHORIZED, length),
        http(INFER, plain, AUTHORIZED),
        http("/v2/models/tiny", b"", AUTHORIZED, method="GET"),
        http("/metrics", b"", AUTHORIZED, method="GET"),
        http(
            "/v1/embeddings",
            b'{"input": ["data:image/png;base64,AA=="]}',
            AUTHORIZED,
        ),
    ]


def answered(server: Served) -> list[int]:
    """The statuses of the requests of every kind."""
    return [status(exchange(server.port, each)) for each in requests()]


def test_a_storm_leaves_the_server_as_it_was(tmp_path: Path) -> None:
    with served(ZOBENCH_SERVE_TOKEN=TOKEN) as server:
        port, process = server.port, server.process.pid
        expected = answered(server)
        assert expected == [200, 200, 200, 200, 400]
        fuzz(port, requests(), 400)  # so that everything is loaded
        before = resident(process)
        nested = b'{"inputs":[' + b"[]," * 20_000_000 + b"[]]}"
        lists = b'{"inputs":' + b"[" * 30_000_000
        long_header = b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 5_000_000
        numbers = (
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[' + b"1," * 30_000_000
        )
        figures = {}
        for name, attack in {
            "60 MB of empty lists, four times at once": lambda: in_threads(
                4, lambda _: exchange(port, http(INFER, nested, AUTHORIZED))
            ),
            "30 MB of open brackets, four times at once": lambda: in_threads(
                4, lambda _: exchange(port, http(INFER, lists, AUTHORIZED))
            ),
            "60 MB of numbers, four times at once": lambda: in_threads(
                4, lambda _: exchange(port, http(INFER, numbers + b"1]}]}", AUTHORIZED))
            ),
            "60 MB without the token, eight times at once": lambda: in_threads(
                8, lambda _: exchange(port, http(INFER, nested))
            ),
            "an endless header, 64 times at once": lambda: in_threads(
                64, lambda _: exchange(port, long_header)
            ),
            f"{FUZZED:,} fuzzed requests": lambda: fuzz(port, requests(), FUZZED),
        }.items():
            with watched(port) as watch:
                began = time.perf_counter()
                attack()
                took = time.perf_counter() - began
            figures[name] = (
                took,
                len(watch.seconds),
                watch.failures,
                max(watch.seconds, default=0),
            )
        for kind, beginning in {
            "headers": b"POST /v2/models/tiny/infer HTTP/1.1\r\nX: ",
            "bodies": http(INFER, b"", AUTHORIZED).replace(
                b"Content-Length: 0", b"Content-Length: 9999"
            ),
        }.items():
            with watched(port) as watch, slow_clients(port, 100, beginning):
                began = time.perf_counter()
                for _ in range(20):
                    assert answered(server) == expected  # others are served meanwhile
                took = time.perf_counter() - began
            figures[f"100 clients with slow {kind}"] = (
                took,
                len(watch.seconds),
                watch.failures,
                max(watch.seconds),
            )
        deadline = time.monotonic() + 60
        while (after := resident(process)) > before + ROOM and time.monotonic() < deadline:
            time.sleep(0.5)
        print()
        for name, (took, asked, failed, slowest) in figures.items():
            print(f"| {name} | {took:.1f} s | {asked} | {failed} | {slowest:.2f} s |")
        print(f"resident memory before {before:.0f} MB, after {after:.0f} MB")
        assert {name: failed for name, (_, _, failed, _) in figures.items()} == dict.fromkeys(
            figures, 0
        )
        assert all(asked > 0 for _, asked, _, _ in figures.values())
        assert after <= before + ROOM
        assert answered(server) == expected
        assert server.end() in (0, -signal.SIGTERM)
    assert "Traceback" not in server.process.said()[1]


def test_a_storm_of_idle_connections_keeps_nobody_out(tmp_path: Path) -> None:
    with served(descriptors=256, ZOBENCH_SERVE_TOKEN=TOKEN) as server:
        expected = answered(server)
        idle = []
        with watched(server.port) as watch:
            for _ in range(400):
                idle.append(socket.create_connection(("127.0.0.1", server.port), 20))
            for _ in range(5):
                assert answered(server) == expected
        for line in idle:
            line.close()
        print(
            f"\n| 400 idle connections at 256 descriptors | {len(watch.seconds)} | {watch.failures} |"
        )
        assert watch.failures == 0
        assert answered(server) == expected
        assert server.end() in (0, -signal.SIGTERM)
    errors = server.process.said()[1]
    assert "Traceback" not in errors
    assert "too many open files" not in errors.lower()


def test_a_request_that_is_being_served_is_not_closed_for_another(tmp_path: Path) -> None:
    health = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with served("--latency", "3", descriptors=256, ZOBENCH_SERVE_TOKEN=TOKEN) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address, 20) as line, contextlib.ExitStack() as others:
            line.sendall(requests()[0])
            time.sleep(0.5)  # its three seconds have begun
            for _ in range(200):  # each is answered and kept, so the oldest of them are closed
                other = others.enter_context(socket.create_connection(address, 20))
                other.sendall(health)
                other.recv(4096)
            assert status(line.recv(65_536)) == 200
