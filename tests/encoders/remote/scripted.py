"""A server that answers by a script: one act a request, over real sockets, as wrong as a test wants."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.serving.oip import read_tensors

Reply = bytes
Act = Callable[[socket.socket, "Question"], None]
LENGTH = "inference-header-content-length"


@dataclass
class Question:
    """A request as it came.

    Attributes:
        line: Its first line.
        headers: By name in small letters.
        body: As it came.
    """

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def images(self) -> NDArray[np.float32]:
        """The tensor of an inference request."""
        _, tensors = read_tensors("inputs", self.body, self.headers.get(LENGTH))
        (images,) = tensors.values()
        return images


def embeddings(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the scripted model makes of images: mean, largest and first pixel."""
    flat = images.reshape(len(images), -1)
    return np.stack([flat.mean(1), flat.max(1), flat[:, 0]], axis=1).astype(np.float32)


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer."""
    told = {
        "Content-Length": str(len(body)),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def tensor(values: NDArray[np.float32]) -> bytes:
    """An inference answer in JSON."""
    data = [None if not np.isfinite(each) else float(each) for each in values.reshape(-1)]
    output = {"name": "y", "shape": list(values.shape), "datatype": "FP32", "data": data}
    return json.dumps({"outputs": [output]}).encode()


def honest(link: socket.socket, asked: Question) -> None:
    """The right answer."""
    link.sendall(http(tensor(embeddings(asked.images))))


def says(answer: bytes) -> Act:
    """A fixed answer."""
    return lambda link, asked: link.sendall(answer)


def answers(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Act:
    """The right answer, changed."""
    return lambda link, asked: link.sendall(http(tensor(change(embeddings(asked.images)))))


def cut_off(link: socket.socket, asked: Question) -> None:
    """Half an answer, then a reset."""
    link.sendall(http(tensor(embeddings(asked.images)))[:-30])
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def drip(link: socket.socket, asked: Question) -> None:
    """A byte now and then, each in time, the whole never."""
    answer = http(tensor(embeddings(asked.images)))
    with suppress(OSError):
        for start in range(len(answer)):
            link.sendall(answer[start : start + 1])
            time.sleep(0.05)


def drip_of_headers(link: socket.socket, asked: Question) -> None:
    """Header after header, each in time, until nobody listens."""
    with suppress(OSError):
        link.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            link.sendall(f"X-{number}: 0\r\n".encode())
            time.sleep(0.1)


def endless(link: socket.socket, asked: Question) -> None:
    """A body without an end."""
    link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            link.sendall(b"100000\r\n" + b" " * 2**20 + b"\r\n")


def bomb(link: socket.socket, asked: Question) -> None:
    """A small body that grows to 500 MB."""
    packed = gzip.compress(bytes(500_000_000), 9)
    link.sendall(http(packed, Content_Encoding="gzip"))


@dataclass
class Scripted:
    """A server with a script.

    Attributes:
        port: Where it listens.
        script: Acts for the next inference requests; afterwards all are answered honestly.
        asked: Every inference request that came.
        model: What the model says of itself.
    """

    port: int = 0
    script: list[Act] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    model: dict[str, Any] = field(
        default_factory=lambda: {
            "name": "m",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 4, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        }
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/models/m"

    def serve(self, link: socket.socket) -> None:
        with link, suppress(OSError), link.makefile("rb") as stream:
            while True:
                line = stream.readline().decode().strip()
                if not line:
                    return
                headers: dict[str, str] = {}
                while row := stream.readline().decode().strip():
                    name, _, value = row.partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                question = Question(line, headers, body)
                if line.startswith("GET"):
                    link.sendall(http(json.dumps(self.model).encode()))
                    continue
                self.asked.append(question)
                act = self.script.pop(0) if self.script else honest
                act(link, question)


@contextmanager
def scripted(*script: Act, context: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A server on 127.0.0.1, ended at the end."""
    server = Scripted(script=list(script))
    links: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    link, _ = listening.accept()
                    if context is not None:
                        try:
                            link = context.wrap_socket(link, server_side=True)
                        except OSError:
                            link.close()
                            continue
                    links.append(link)
                    threads.append(threading.Thread(target=server.serve, args=(link,)))
                    threads[-1].start()

        door = threading.Thread(target=accept)
        door.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            door.join()
            for link in links:
                with suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
