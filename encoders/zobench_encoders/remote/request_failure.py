"""Failures of a request to a service, each of one of four kinds, and the wait that a service wants."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Literal

Kind = Literal["unreached", "busy", "doubtful", "refused"]
"""The kind of a failed request:

- ``unreached``: the request never arrived; it is not billed; a retry may succeed.
- ``busy``: the status is 429; the request is not billed; a later retry may succeed.
- ``doubtful``: the request may have been processed and billed; a retry may succeed.
- ``refused``: the same request will fail again; it is not billed.
"""


class RequestFailure(Exception):
    """A failed request.

    Attributes:
        kind: See :data:`Kind`.
        status: Status of the answer; ``None`` if there was no answer.
        delay: Seconds that the service asks to wait before a retry; ``None`` if it does not say.
    """

    def __init__(
        self, kind: Kind, message: str, status: int | None = None, delay: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.delay = kind, status, delay

    @property
    def billed(self) -> bool:
        """Whether the images may be billed: the service may have computed their embeddings."""
        accepted = self.status is not None and 200 <= self.status < 300
        return self.kind == "doubtful" or accepted


class UnexpectedShape(RequestFailure):
    """An answer in which the embeddings are not where the dialect says.

    Before a service has given any embeddings, another attempt at the same request would only be
    billed again; later it may be a fault that passes.
    """

    def __init__(self, message: str) -> None:
        super().__init__("doubtful", message, 200)


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds that a service asks to wait, from the headers; ``None`` if no header says so.

    The headers are ``retry-after-ms``,
    ``retry-after`` (seconds or a date) and ``x-ratelimit-reset`` (seconds, or a point in time in seconds
    or milliseconds since 1970).
    """
    from email.utils import parsedate_to_datetime

    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0), ("x-ratelimit-reset", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            try:
                when = parsedate_to_datetime(text)  # without a zone it is in GMT (RFC 9110, 5.6.7)
                when = when.replace(tzinfo=when.tzinfo or UTC)
                seconds = when.timestamp() - time.time()
            except (ValueError, OverflowError, TypeError, IndexError, OSError):
                continue
        if seconds > 1e11:  # a point in time, in milliseconds
            seconds /= 1000
        if seconds > 1e9:  # a point in time, not a span
            seconds -= time.time()
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
