"""Connections: each carries one request at a time, is kept for the next, and may break."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from scripted import Question, Scripted, embeddings, tensor
from zobench_encoders.remote.connecting import RemoteParameters, remote_encoder

from zobench.contracts.encoder import EncoderRequest


@dataclass
class Talk:
    """The settings and counts of a server.

    Attributes:
        lasts: Answers per connection; the next request only closes it; 0 for no limit.
        requests: Number of answered requests.
        connections: Number of opened connections.
    """

    lasts: int = 0
    requests: int = 0
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        talk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open

            def setup(self) -> None:
                super().setup()
                self.answered = 0
                with talk.lock:
                    talk.connections += 1

            def _answer(self, body: bytes) -> None:
                if talk.lasts and self.answered >= talk.lasts:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.answered += 1
                with talk.lock:
                    talk.requests += 1

            def do_GET(self) -> None:
                self._answer(json.dumps(Scripted().model).encode())

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(tensor(embeddings(Question("", {}, sent).images)))

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def talking(talk: Talk) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), talk.handler()) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v2/models/m"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("lasts", [0, 5])
def test_requests_follow_one_another_on_a_connection_and_outlive_it(lasts: int) -> None:
    images = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    talk = Talk(lasts)
    with talking(talk) as url:
        settings = {"chunk": 2, "connections": 4, "wire": "json", "backoff": 0.01}
        request = EncoderRequest("http:oip", "oip", "auto", "auto", Path())
        encoder = remote_encoder(request, RemoteParameters(url=url, retries=50, **settings))  # type: ignore[arg-type]
        found = encoder.embed(images)
        encoder.close()
    assert torch.equal(found, torch.from_numpy(embeddings(images.numpy())))
    assert encoder.account.bill.total().images_billed == 1 + 60
    assert talk.requests == 2 + 30
    if lasts:
        assert talk.connections > 3
    else:
        assert talk.connections <= 4
