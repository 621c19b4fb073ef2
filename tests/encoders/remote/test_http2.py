"""HTTP/2 over TLS, spoken by a server made of the h2 library."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
import torch
import trustme
from scripted import Question, Scripted, embeddings, tensor
from zobench_encoders.remote.connecting import RemoteParameters, remote_encoder

from zobench.contracts.encoder import EncoderRequest


@dataclass
class Talk:
    """What the server saw.

    Attributes:
        requests: Answered.
        connections: Opened.
        lasts: Requests after which a connection is cut; 0 for never.
        widest: Most requests that were under way at a time on one connection.
    """

    lasts: int = 0
    requests: int = 0
    connections: int = 0
    widest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, link: ssl.SSLSocket) -> None:
        self.connections += 1
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        state.initiate_connection()
        link.sendall(state.data_to_send())
        bodies: dict[int, bytearray] = {}
        gets: set[int] = set()
        under_way: set[int] = set()
        answered = 0
        with link, suppress(OSError):
            while data := link.recv(65536):
                for event in state.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        headers = dict(event.headers)
                        bodies[event.stream_id] = bytearray()
                        under_way.add(event.stream_id)
                        if headers[b":method"] == b"GET":
                            gets.add(event.stream_id)
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                        state.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                    elif isinstance(event, h2.events.StreamEnded):
                        sent = bytes(bodies.pop(event.stream_id))
                        if event.stream_id in gets:
                            body = json.dumps(Scripted().model).encode()
                        else:
                            body = tensor(embeddings(Question("", {}, sent).images))
                        length = str(len(body))
                        told = [(":status", "200"), ("content-length", length)]
                        state.send_headers(event.stream_id, told)
                        state.send_data(event.stream_id, body, end_stream=True)
                        with self.lock:
                            self.requests += 1
                        answered += 1
                self.widest = max(self.widest, len(under_way))
                link.sendall(state.data_to_send())
                under_way &= bodies.keys()
                if self.lasts and answered >= self.lasts:
                    return


@contextmanager
def talking(context: ssl.SSLContext, talk: Talk) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    link, _ = listening.accept()
                    secure = context.wrap_socket(link, server_side=True)
                    threading.Thread(target=talk.serve, args=(secure,), daemon=True).start()

        door = threading.Thread(target=accept)
        door.start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}/v2/models/m"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            door.join()


@pytest.mark.parametrize("lasts", [0, 5])
def test_requests_follow_one_another_on_a_connection_and_outlive_it(
    lasts: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    # a service on this machine is reached without the environment, where the authority is named
    monkeypatch.setattr("zobench_encoders.remote.exchange.is_loopback", lambda host: False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    images = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    talk = Talk(lasts)
    with talking(context, talk) as url:
        settings = {"chunk": 2, "connections": 4, "wire": "json", "backoff": 0.01}
        request = EncoderRequest("http:oip", "oip", "auto", "auto", Path())
        encoder = remote_encoder(request, RemoteParameters(url=url, retries=50, **settings))  # type: ignore[arg-type]
        found = encoder.embed(images)
        encoder.close()
    assert torch.equal(found, torch.from_numpy(embeddings(images.numpy())))
    assert encoder.account.bill.total().images_billed == 1 + 60
    assert talk.widest == 1  # the client library's threads get in one another's way
    if lasts:
        assert talk.connections > 3
    else:
        assert talk.requests == 2 + 30
        assert talk.connections < talk.requests / 2
