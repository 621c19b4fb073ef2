"""A server on real sockets that answers each request with the next act of a script."""

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
    """A received request.

    Attributes:
        line: The request line.
        headers: Values by name in lower case.
        body: The bytes of the body.
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
    """The embeddings of the scripted model: mean, largest and first pixel of each image."""
    flat = images.reshape(len(images), -1)
    return np.stack([flat.mean(1), flat.max(1), flat[:, 0]], axis=1).astype(np.float32)


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """The bytes of a complete HTTP response."""
    told = {
        "Content-Length": str(len(body)),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def tensor(values: NDArray[np.float32]) -> bytes:
    """The JSON body of an inference response."""
    data = [None if not np.isfinite(each) else float(each) for each in values.reshape(-1)]
    output = {"name": "y", "shape": list(values.shape), "datatype": "FP32", "data": data}
    return json.dumps({"outputs": [output]}).encode()


def honest(link: socket.socket, asked: Question) -> None:
    """Sends the correct response."""
    link.sendall(http(tensor(embeddings(asked.images))))


def says(answer: bytes) -> Act:
    """An act that sends a fixed response."""
    return lambda link, asked: link.sendall(answer)


def answers(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Act:
    """An act that sends the correct embeddings after ``change``."""
    return lambda link, asked: link.sendall(http(tensor(change(embeddings(asked.images)))))


def cut_off(link: socket.socket, asked: Question) -> None:
    """Sends a response without its last 30 bytes, then resets the connection."""
    link.sendall(http(tensor(embeddings(asked.images)))[:-30])
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def drip(link: socket.socket, asked: Question) -> None:
    """Sends a byte every 0.05 s: no byte is late, but the whole response takes too long."""
    answer = http(tensor(embeddings(asked.images)))
    with suppress(OSError):
        for start in range(len(answer)):
            link.sendall(answer[start : start + 1])
            time.sleep(0.05)


def drip_of_headers(link: socket.socket, asked: Question) -> None:
    """Sends a header every 0.1 s until the client closes the connection."""
    with suppress(OSError):
        link.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            link.sendall(f"X-{number}: 0\r\n".encode())
            time.sleep(0.1)


def endless(link: socket.socket, asked: Question) -> None:
    """Sends a body that never ends."""
    link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            link.sendall(b"100000\r\n" + b" " * 2**20 + b"\r\n")


def bomb(link: socket.socket, asked: Question) -> None:
    """Sends a small body that decompresses to 500 MB."""
    packed = gzip.compress(bytes(500_000_000), 9)
    link.sendall(http(packed, Content_Encoding="gzip"))


@dataclass
class Scripted:
    """A server with a script.

    Attributes:
        port: The port of the server.
        script: Acts for the next inference requests; later requests get the correct response.
        asked: Every inference request received.
        model: The response to GET requests, which describes the model.
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
    """A server on 127.0.0.1 that stops at the end of the block."""
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
