"""Remote encoders connected to a scripted server, and images for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from scripted import Act, Scripted, embeddings, scripted
from torch import Tensor
from zobench_encoders.remote.connecting import RemoteParameters, remote_encoder
from zobench_encoders.remote.encoder import RemoteEncoder

from zobench.contracts.encoder import EncoderRequest

QUICK = {"timeout": 0.6, "backoff": 0.01, "connections": 1, "wire": "json", "chunk": 4}


def connected(url: str, kind: str = "oip", **settings: Any) -> RemoteEncoder:
    request = EncoderRequest(f"http:{kind}", kind, "auto", "auto", Path())
    return remote_encoder(request, RemoteParameters(**{"url": url, **QUICK, **settings}))


@contextmanager
def service(*script: Act, **settings: Any) -> Iterator[tuple[Scripted, RemoteEncoder]]:
    """A scripted server and its encoder; the script starts after the canary request."""
    with scripted() as server:
        encoder = connected(server.url, **settings)
        server.script.extend(script)
        server.asked.clear()
        try:
            yield server, encoder
        finally:
            encoder.close()


def films(count: int) -> Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(count))


def right(images: Tensor) -> Tensor:
    return torch.from_numpy(embeddings(images.numpy()))
