"""Limits of a service on requests, bodies and waiting images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on the requests of clients.

    Attributes:
        body: Bytes of a request's body.
        images: Images in a request.
        requests: Requests at a time.
        waiting: Images that may wait for the encoder.
        batch: Images of several clients that are embedded together; 0 for the encoder's own block.
        wait: Seconds that a request waits for further requests to share its batch.
    """

    body: int = 64 * 2**20
    images: int = 256
    requests: int = 64
    waiting: int = 4096
    batch: int = 0
    wait: float = 0.002
