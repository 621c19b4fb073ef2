"""Retries failed requests to a service, and records every attempt in the account."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import stamina

from zobench.billing.account import Account
from zobench.errors import ConfigError, ServiceError

from .exchange import Call, Connections, ServiceReply
from .request_failure import RequestFailure, UnexpectedShape

Answer = TypeVar("Answer")

UNREACHED_HINT = "; is the service up, and is --encoder-url its address?"

MAX_FIRST_ATTEMPTS = 4
"""Largest number of attempts to reach a service that has never answered."""

LONGEST_PATIENCE = 365 * 86_400
"""Largest number of seconds to go on without an answer."""

# stamina's log line for every retry would break the progress display
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class RetryPolicy:
    """Retry policy: attempts, delays and the time limit without an answer.

    Attributes:
        retries: Further attempts at a request that may have been billed.
        failures: Failures in a row, over all requests, after which the run stops.
        seconds: Seconds without a good answer after which the run stops, even if each answer is
            429. What a request waits to keep the rate limit does not count.
        first_delay: Seconds before the second attempt; the delay grows with every attempt.
        final: Statuses after which nothing is tried again.
    """

    retries: int = 5
    failures: int = 20
    seconds: float = 600.0
    first_delay: float = 0.5
    final: frozenset[int] = frozenset()


MAYBE_TOO_MANY = frozenset({400, 413, 422})
"""Statuses that some services give to a request with more images than they take."""


class RequestCancelledError(ServiceError):
    """The request was not sent, because ``stop`` was set."""


class RateLimiter:
    """Rate limit: delays requests so that at most ``images_a_minute`` images are sent a minute."""

    def __init__(self, images_a_minute: int) -> None:
        self._seconds_each = 60 / images_a_minute if images_a_minute else 0.0
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, images: int, stop: threading.Event) -> tuple[float, float]:
        """Waits until ``images`` images may be sent, or ``stop`` is set; returns begin and end."""
        now = time.monotonic()
        if not self._seconds_each:
            return now, now
        with self._lock:
            start = max(now, self._free_at)
            self._free_at = start + images * self._seconds_each
        stop.wait(max(0.0, start - now))
        return now, time.monotonic()


class RetryingClient:
    """Sends requests to a service, with retries; several threads may share one client.

    Attributes:
        account: The account that records all attempts.
        policy: The retry policy.
        stop: Once this event is set, no request is sent.
    """

    def __init__(
        self,
        name: str,
        line: Connections,
        policy: RetryPolicy,
        pace: RateLimiter,
        price: float = 0.0,
    ) -> None:
        self._name, self._line, self._pace = name, line, pace
        self._lock = threading.Lock()
        self._failures = 0
        self._known = False
        self._answered_at = time.monotonic()
        self.policy = policy
        self.stop = threading.Event()
        self.account = Account(price=price)

    def begin(self) -> None:
        """Resets the failure counts; called before a new batch of images."""
        self.stop.clear()
        with self._lock:
            self._failures, self._answered_at = 0, time.monotonic()

    def require_going(self) -> None:
        """Raises a :class:`RequestCancelledError` once ``stop`` is set."""
        if self.stop.is_set():
            raise RequestCancelledError("not asked, for all was to stop")

    def ask(
        self,
        key: str,
        images: int,
        call: Call,
        read: Callable[[ServiceReply], Answer],
        *,
        keep: bool = True,
    ) -> Answer:
        """The answer to a request, after as many attempts as the retry policy allows.

        Args:
            key: Name of the request in the account.
            images: Number of images in the request.
            call: The request.
            read: Turns a reply into an answer; raises a RequestFailure if the reply does not fit the
                request.
            keep: Whether the account stores an array answer until its results are on disk.

        Raises:
            RequestCancelledError: ``stop`` is set.
            ServiceError: The retry policy allows no further attempt.
            CostReached: The next attempt could cost more than allowed.
        """
        attempts, doubts, hint = 0, 0, ""
        waits: list[tuple[float, float]] = []  # for the rate, while the service was not asked

        def hope(error: Exception) -> bool | float:
            nonlocal doubts, hint
            if not isinstance(error, RequestFailure) or error.kind == "refused":
                return False
            if error.status in self.policy.final:
                return False
            doubts += error.kind == "doubtful"
            if error.kind == "unreached" and not self._known and attempts >= MAX_FIRST_ATTEMPTS:
                return False
            if doubts > self.policy.retries or (left := self._seconds_left(waits)) < 0:
                return False
            if error.delay is None or error.delay < self.policy.first_delay:
                return not self.stop.is_set()
            if error.delay > left:
                hint = _too_long(error.delay, left, self.policy.seconds)
                return False
            self.stop.wait(error.delay)  # setting ``stop`` ends this wait
            return 0.0

        try:
            for attempt in stamina.retry_context(
                on=hope,
                attempts=None,
                timeout=None,
                wait_initial=self.policy.first_delay,
                wait_max=8 * self.policy.first_delay,
                wait_jitter=self.policy.first_delay,
            ):
                with attempt:
                    attempts += 1
                    retry = attempts > 1
                    waits.append(self._pace.wait(images, self.stop))
                    return self._attempt(key, images, call, read, keep=keep, retry=retry)
        except RequestFailure as fault:
            self.stop.set()
            raise ServiceError(
                f"encoder {self._name}: {fault}"
                + (f" ({attempts} attempts)" if attempts > 1 else "")
                + (hint or _too_many(fault.status, images))
                + ("" if self._known or fault.kind != "unreached" else UNREACHED_HINT),
                fault.status,
                attempts,
            ) from fault
        raise AssertionError("unreachable")

    def _attempt(
        self,
        key: str,
        images: int,
        call: Call,
        read: Callable[[ServiceReply], Answer],
        *,
        keep: bool,
        retry: bool,
    ) -> Answer:
        self.require_going()
        request = self.account.sent(key, images, len(call.body or b""), retry=retry)
        try:
            reply = self._line.exchange(call)
            answer = self._read_reply(reply, read)
        except RequestFailure as fault:
            left = fault.kind != "unreached"
            self.account.failed(request, str(fault), billed=fault.billed, left=left)
            if fault.kind != "busy":
                with self._lock:
                    self._failures += 1
            raise
        except BaseException as error:
            self.account.failed(request, type(error).__name__, billed=True)
            raise
        kept = answer if keep and isinstance(answer, np.ndarray) else None
        self.account.answered(request, len(reply.body), kept)
        with self._lock:
            self._failures, self._answered_at, self._known = 0, time.monotonic(), True
        return answer

    def _read_reply(self, reply: ServiceReply, read: Callable[[ServiceReply], Answer]) -> Answer:
        """The answer in a reply; error messages never show a key that the service repeated."""
        try:
            return read(reply)
        except RequestFailure as fault:
            certain = isinstance(fault, UnexpectedShape) and not self._known
            kind = "refused" if certain else fault.kind
            raise RequestFailure(kind, self._line.text.excerpt(str(fault)), 200) from None
        except ConfigError as error:
            raise ConfigError(self._line.text.excerpt(str(error))) from None
        except Exception as error:
            said = self._line.text.excerpt(f"the answer cannot be read: {error!r:.20000}")
            raise RequestFailure("doubtful", said, 200) from None

    def _seconds_left(self, waits: list[tuple[float, float]]) -> float:
        """Seconds until the run stops for lack of an answer; below 0 if it stops now."""
        with self._lock:
            if self._failures >= self.policy.failures:
                return -1.0
            since = self._answered_at
            waited = sum(max(0.0, end - max(begin, since)) for begin, end in waits)
            return self.policy.seconds - (time.monotonic() - since - waited)


def _too_long(delay: float, left: float, patience: float) -> str:
    """What to do if the service asks for a longer wait than the user allows."""
    if delay >= LONGEST_PATIENCE:
        return "; the service asks to wait for a year or more: ask whoever runs it"
    enough = min(math.ceil(delay + patience), LONGEST_PATIENCE)
    return (
        f"; the service asks to wait {delay:,.0f} s, but encoder.patience has {left:,.0f} s left: "
        f"resume later, or with --set encoder.patience={enough}"
    )


def _too_many(status: int | None, images: int) -> str:
    """What to do if a request was refused for the number of its images."""
    if status not in MAYBE_TOO_MANY or images <= 1:
        return ""
    return (
        f"; the request had {images:,} images: if they are too many for the service, send fewer by "
        f"--set encoder.chunk={images // 2}"
    )
