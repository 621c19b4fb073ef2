"""Limits of a service on connections, requests, bodies and waiting images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on the requests of clients.

    Attributes:
        body: Bytes of a request's body.
        images: Images in a request.
        requests: Requests at a time whose bodies have come.
        waiting: Images that may wait for the encoder.
        batch: Images of several clients that are embedded together; 0 for the encoder's own block.
        wait: Seconds that a request waits for further requests to share its batch.
        held: Bytes of all bodies that are held at a time.
        upload_seconds: Seconds in which a body must come.
        header: Bytes of a request's header.
        header_seconds: Seconds in which a header must come.
        connections: Connections at a time.
    """

    body: int = 64 * 2**20
    images: int = 256
    requests: int = 64
    waiting: int = 4096
    batch: int = 0
    wait: float = 0.002
    held: int = 512 * 2**20
    upload_seconds: float = 30.0
    header: int = 32 * 2**10
    header_seconds: float = 10.0
    connections: int = 1024
