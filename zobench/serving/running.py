"""Starts the service on a socket, and finishes open requests before it ends."""

from __future__ import annotations

import socket

import uvicorn

from zobench.errors import ConfigError

from .app import Service

DRAIN_SECONDS = 30
"""Seconds after SIGTERM in which open requests may finish."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 for any that is free.

    Raises:
        ConfigError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error}; choose another --port, or 0 for any"
        ) from error


def serve(service: Service, listening: socket.socket) -> None:
    """Serves until SIGTERM or Ctrl-C; requests that were begun are finished."""
    config = uvicorn.Config(
        service.app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=75,
        ws="none",
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
