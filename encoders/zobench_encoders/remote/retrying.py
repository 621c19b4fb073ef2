"""Asks until there is an answer or no hope, and notes every attempt in the account."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import stamina

from zobench.billing.account import Account
from zobench.errors import ConfigError, ServiceError

from .exchange import Call, Connections, Fault, Reply

Answer = TypeVar("Answer")

LONGEST_DELAY = 60.0
"""Seconds; a service that asks for more is asked again after these."""

UP = "; is the service up, and is --encoder-url its address?"

FIRST_TRIES = 4
"""Attempts to reach a service that has not answered yet: it is not up, or the address is wrong."""

# its notes on every retry would tear the progress display
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class RetryPolicy:
    """How much is put up with.

    Attributes:
        retries: Further attempts at a request that may have been billed.
        failures: Failures in a row, of whatever requests, after which the run stops.
        seconds: Without any answer after which it stops, too, such as under 429 for good.
        first_delay: Seconds before the second attempt; they grow from attempt to attempt.
    """

    retries: int = 5
    failures: int = 20
    seconds: float = 600.0
    first_delay: float = 0.5


class LetGoError(ServiceError):
    """A request that was not made, because all was to stop."""


class RateLimiter:
    """Spaces requests so that no more than so many images leave in a minute."""

    def __init__(self, images_a_minute: int) -> None:
        self._seconds_each = 60 / images_a_minute if images_a_minute else 0.0
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, images: int, stop: threading.Event) -> None:
        """Returns when so many images may leave, or all is to stop."""
        if not self._seconds_each:
            return
        with self._lock:
            start = max(time.monotonic(), self._free_at)
            self._free_at = start + images * self._seconds_each
        stop.wait(max(0.0, start - time.monotonic()))


class Caller:
    """Asks a service; used by several threads at a time.

    Attributes:
        account: Where attempts are noted.
        patience: How much is put up with.
        stop: Once set, nothing more is sent.
    """

    def __init__(
        self, name: str, line: Connections, patience: RetryPolicy, pace: RateLimiter
    ) -> None:
        self._name, self._line, self._pace = name, line, pace
        self._lock = threading.Lock()
        self._failures = 0
        self._known = False
        self._answered_at = time.monotonic()
        self.patience = patience
        self.stop = threading.Event()
        self.account = Account()

    def begin(self) -> None:
        """Forgets failures of the past; to be called before a new lot of images."""
        self.stop.clear()
        with self._lock:
            self._failures, self._answered_at = 0, time.monotonic()

    def ask(
        self,
        key: str,
        images: int,
        call: Call,
        read: Callable[[Reply], Answer],
        *,
        keep: bool = True,
    ) -> Answer:
        """The answer to a request, however many attempts it takes.

        Args:
            key: Names what is asked, in the account.
            images: In the request.
            call: The request.
            read: Makes the answer of a reply; raises a Fault if it is not what was asked for.
            keep: Whether the account keeps an answer that is an array, until it is used.

        Raises:
            LetGoError: All is to stop.
            ServiceError: There is no hope.
            CostReached: The next attempt could cost more than allowed.
        """
        attempts = doubts = 0

        def hope(error: Exception) -> bool | float:
            nonlocal doubts
            if not isinstance(error, Fault) or error.kind == "refused":
                return False
            doubts += error.kind == "doubtful"
            if error.kind == "unreached" and not self._known and attempts >= FIRST_TRIES:
                return False
            if doubts > self.patience.retries or self._hopeless():
                return False
            if error.delay is None or error.delay < self.patience.first_delay:
                return not self.stop.is_set()
            self.stop.wait(min(error.delay, LONGEST_DELAY))  # here, where it can be cut short
            return 0.0

        try:
            for attempt in stamina.retry_context(
                on=hope,
                attempts=None,
                timeout=None,
                wait_initial=self.patience.first_delay,
                wait_max=8 * self.patience.first_delay,
                wait_jitter=self.patience.first_delay,
            ):
                with attempt:
                    attempts += 1
                    retry = attempts > 1
                    return self._attempt(key, images, call, read, keep=keep, retry=retry)
        except Fault as fault:
            self.stop.set()
            raise ServiceError(
                f"encoder {self._name}: {fault}"
                + (f" ({attempts} attempts)" if attempts > 1 else "")
                + ("" if self._known or fault.kind != "unreached" else UP),
                fault.status,
                attempts,
            ) from fault
        raise AssertionError("unreachable")

    def _attempt(
        self,
        key: str,
        images: int,
        call: Call,
        read: Callable[[Reply], Answer],
        *,
        keep: bool,
        retry: bool,
    ) -> Answer:
        self._pace.wait(images, self.stop)
        if self.stop.is_set():
            raise LetGoError("not asked, for all was to stop")
        request = self.account.sent(key, images, len(call.body or b""), retry=retry)
        try:
            reply = self._line.exchange(call)
            answer = self._understood(reply, read)
        except Fault as fault:
            left = fault.kind != "unreached"
            self.account.failed(request, str(fault), billed=fault.kind == "doubtful", left=left)
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

    def _understood(self, reply: Reply, read: Callable[[Reply], Answer]) -> Answer:
        """What a reply says; an error repeats no key that the service may have repeated."""
        try:
            return read(reply)
        except Fault as fault:
            raise Fault(fault.kind, self._line.clean(fault), 200) from None
        except ConfigError as error:
            raise ConfigError(self._line.clean(error)) from None
        except Exception as error:
            said = f"the answer cannot be read: {self._line.clean(repr(error))[:200]}"
            raise Fault("doubtful", said, 200) from None

    def _hopeless(self) -> bool:
        with self._lock:
            silent = time.monotonic() - self._answered_at
            return self._failures >= self.patience.failures or silent > self.patience.seconds
