"""HTTP connections with limits on headers, on time and on their number."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .limits import Limits


class GuardedProtocol(HttpToolsProtocol):
    """One connection; it is closed if the header of a request is too long or comes too slowly.

    If too many connections are open, a new one closes the connection that has waited longest for a
    request, one that never had a request first. So idle connections cannot keep others out.
    """

    def __init__(self, limits: Limits, **of_uvicorn: Any) -> None:
        """Sends and receives nothing.

        Args:
            limits: Limits on headers and connections.
            **of_uvicorn: The arguments that uvicorn gives.
        """
        super().__init__(**of_uvicorn)
        self._limits = limits
        self._in_header, self._header_bytes, self._field_bytes = True, 0, 0
        self._since, self._served = time.monotonic(), False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for the first header."""
        super().connection_made(transport)
        self._wait_for_header()
        if len(self.connections) > self._limits.connections:
            self._close_the_idlest()

    def _close_the_idlest(self) -> None:
        waiting = [
            connection
            for connection in self.connections
            if isinstance(connection, GuardedProtocol)
            and connection is not self
            and connection._is_idle()
            and not connection.transport.is_closing()
        ]
        first = min(
            waiting, key=lambda connection: (connection._served, connection._since), default=self
        )
        first.transport.abort()

    def _is_idle(self) -> bool:
        """Whether a request is awaited, and none is being served."""
        return self._in_header and (self.cycle is None or self.cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Closes the connection once a header has too many bytes."""
        if self._in_header:
            self._header_bytes += len(data)
            if self._timer is None:  # the next request of a connection that was kept
                self._start_timer()
        super().data_received(data)
        if self._in_header and self._header_bytes > self._limits.header:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Refuses a request that comes before the last one was answered (pipelining).

        Raises:
            ValueError: It does; the parser then ends, and uvicorn answers 400 and closes.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            raise ValueError("pipelined")
        self._field_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Counts the address, which is a part of the header.

        Raises:
            ValueError: It is too long by itself.
        """
        self._count(len(url))
        super().on_url(url)

    def _count(self, length: int) -> None:
        self._field_bytes += length
        if self._field_bytes > self._limits.header:  # a whole request may come at once
            raise ValueError("header")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuses fields beyond the limit, and trailers, which have no limit and no use here.

        Raises:
            ValueError: The fields so far are too long, or this one comes after the body.
        """
        if not self._in_header:
            raise ValueError("trailer")
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Ends the wait: the rest of a request has limits of its own."""
        self._in_header, self._served = False, True
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begins to wait for the next header, once the whole request has come."""
        super().on_message_complete()
        self._in_header, self._header_bytes, self._since = True, 0, time.monotonic()

    def on_response_complete(self) -> None:
        """Bounds the time for the rest of a request that was answered before it came whole."""
        super().on_response_complete()
        if not self._in_header:
            self._stop_timer()
            self._timer = self.loop.call_later(self._limits.upload_seconds, self._too_slow)

    def _wait_for_header(self) -> None:
        self._in_header, self._header_bytes, self._since = True, 0, time.monotonic()
        self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._limits.header_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.abort()
