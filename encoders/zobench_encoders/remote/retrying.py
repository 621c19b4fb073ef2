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

from zobench.billing import Account
from zobench.errors import ServiceError

from .exchange import Call, Fault, Line, Reply

Answer = TypeVar("Answer")

LONGEST_DELAY = 60.0
"""Seconds; a service that asks for more is asked again after these."""

# its notes on every retry would tear the progress display
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Patience:
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


class Pace:
    """Spaces requests so that no more than so many images leave in a minute."""

    def __init__(self, images_a_minute: int) -> None:
        self._seconds_each = 60 / images_a_minute if images_a_minute else 0.0
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, images: int) -> None:
        """Returns when so many images may leave."""
        if not self._seconds_each:
            return
        with self._lock:
            start = max(time.monotonic(), self._free_at)
            self._free_at = start + images * self._seconds_each
        time.sleep(max(0.0, start - time.monotonic()))


class Caller:
    """Asks a service; used by several threads at a time.

    Attributes:
        account: Where attempts are noted.
    """

    def __init__(self, name: str, line: Line, patience: Patience, pace: Pace) -> None:
        self._name, self._line, self._patience, self._pace = name, line, patience, pace
        self._lock = threading.Lock()
        self._failures = 0
        self._answered_at = time.monotonic()
        self._given_up = False
        self.account = Account()

    def begin(self) -> None:
        """Forgets failures of the past; to be called before a new lot of images."""
        with self._lock:
            self._failures, self._given_up = 0, False
            self._answered_at = time.monotonic()

    def give_up(self) -> None:
        """Lets other threads stop before their next attempt."""
        self._given_up = True

    def ask(
        self,
        key: str,
        images: int,
        call: Call,
        read: Callable[[Reply], Answer],
    ) -> Answer:
        """The answer to a request, however many attempts it takes.

        Args:
            key: Names what is asked, in the account.
            images: In the request.
            call: The request.
            read: Makes the answer of a reply; raises a Fault if it is not what was asked for.
                The account keeps an answer that is an array.

        Raises:
            ServiceError: There is no hope.
        """
        attempts = doubts = 0

        def hope(error: Exception) -> bool | float:
            nonlocal doubts
            if not isinstance(error, Fault) or error.kind == "refused" or self._given_up:
                return False
            doubts += error.kind == "doubtful"
            if doubts > self._patience.retries or self._hopeless():
                return False
            return True if error.delay is None else min(error.delay, LONGEST_DELAY)

        try:
            for attempt in stamina.retry_context(
                on=hope,
                attempts=None,
                timeout=None,
                wait_initial=self._patience.first_delay,
                wait_max=16 * self._patience.first_delay,
                wait_jitter=self._patience.first_delay,
            ):
                with attempt:
                    attempts += 1
                    return self._attempt(key, images, call, read, retry=attempts > 1)
        except Fault as fault:
            self.give_up()
            raise ServiceError(
                f"encoder {self._name}: {fault}"
                + (f" ({attempts} attempts)" if attempts > 1 else ""),
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
        retry: bool,
    ) -> Answer:
        self._pace.wait(images)
        request = self.account.sent(key, images, len(call.body or b""), retry=retry)
        try:
            reply = self._line.exchange(call)
            answer = read(reply)
        except Fault as fault:
            self.account.failed(request, str(fault), billed=fault.kind == "doubtful")
            if fault.kind != "busy":
                with self._lock:
                    self._failures += 1
            raise
        except BaseException as error:
            self.account.failed(request, type(error).__name__, billed=True)
            raise
        kept = answer if isinstance(answer, np.ndarray) else None
        self.account.answered(request, len(reply.body), kept)
        with self._lock:
            self._failures, self._answered_at = 0, time.monotonic()
        return answer

    def _hopeless(self) -> bool:
        with self._lock:
            silent = time.monotonic() - self._answered_at
            return self._failures >= self._patience.failures or silent > self._patience.seconds
