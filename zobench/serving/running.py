"""Starts the service on a socket, and finishes open requests before it ends."""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn

from zobench.errors import ConfigError

from .app import Service
from .limits import Limits
from .protocol import GuardedProtocol

ACCEPTED_AT_ONCE = 16
"""Connections that asyncio accepts before it looks at them."""

SPARE_DESCRIPTORS = 5 * ACCEPTED_AT_ONCE
"""File descriptors for connections that are accepted or closed meanwhile, and for files."""

QUEUE = 2048
"""Connections that the kernel keeps until they are accepted."""

LEAST_CONNECTIONS = 8
DRAIN_SECONDS = 30
"""Seconds after SIGTERM in which open requests may finish."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 for any that is free.

    Raises:
        ConfigError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family)
        return _Listening(family, fileno=made.detach())
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error}; choose another --port, or 0 for any"
        ) from error


class _Listening(socket.socket):
    """A listening socket with a queue of its own length; asyncio's is what it accepts at once."""

    def listen(self, backlog: int = QUEUE, /) -> None:
        super().listen(max(backlog, QUEUE))


def with_descriptors(limits: Limits) -> Limits:
    """The limits, with no more connections than this process has file descriptors for.

    Raises:
        ConfigError: There are too few file descriptors for a service.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = _open_descriptors() + SPARE_DESCRIPTORS
    wanted = limits.connections + spare
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < spare + LEAST_CONNECTIONS:
        raise ConfigError(
            f"this process may open only {soft} files, and a service needs {spare + LEAST_CONNECTIONS}; "
            "raise the limit: ulimit -n 1024"
        )
    return replace(limits, connections=min(limits.connections, soft - spare))


def _open_descriptors() -> int:
    """The number of open file descriptors of this process; a guess where the system does not say."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 64


def serve(service: Service, listening: socket.socket, limits: Limits) -> None:
    """Serves until SIGTERM or Ctrl-C; requests that were begun are finished.

    Args:
        service: The service.
        listening: A socket of :func:`listen`.
        limits: The limits on headers and connections.
    """
    connection: Any = partial(GuardedProtocol, with_descriptors(limits))
    config = uvicorn.Config(
        service.app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=75,
        ws="none",
        http=connection,
        backlog=ACCEPTED_AT_ONCE,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
