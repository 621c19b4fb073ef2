"""One request and its answer: bounded in size and time, and every failure put into one of four kinds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

import httpx2 as httpx

from zobench.errors import ConfigError
from zobench.serving.addresses import is_loopback

Kind = Literal["unreached", "busy", "doubtful", "refused"]
"""What became of a request that was not answered well:

- ``unreached``: it never arrived; nothing is billed; worth another try.
- ``busy``: 429; nothing is billed; worth another try, later.
- ``doubtful``: it may have been worked on, and billed; worth another try.
- ``refused``: the same request will fail again; nothing is billed.
"""

CONNECT_SECONDS = 10.0
GRACE_SECONDS = 2.0
"""Beyond what connecting and answering may take together: for what lies between the two."""

EXCERPT = 300


@dataclass(frozen=True)
class Call:
    """A request to be made.

    Attributes:
        url: Where to.
        body: Sent by POST; ``None`` to GET.
        headers: Those that belong to the body.
    """

    url: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Reply:
    """An answer with status 200."""

    headers: Mapping[str, str]
    body: bytes


class Fault(Exception):
    """A request that was not answered well.

    Attributes:
        kind: See :data:`Kind`.
        status: Of the answer; ``None`` if there was none.
        delay: Seconds after which the service asks to be asked again; ``None`` if it does not say.
    """

    def __init__(
        self, kind: Kind, message: str, status: int | None = None, delay: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.delay = kind, status, delay


class Connections:
    """Connections to one service, kept open; each carries one request at a time."""

    def __init__(
        self,
        *,
        secret: str | None,
        key_env: str = "",
        header: str = "Authorization",
        scheme: str = "Bearer ",
        seconds: float,
        largest: int,
        loopback: bool,
        doubtful: frozenset[int] = frozenset(),
    ) -> None:
        """Opens nothing yet.

        Args:
            secret: Key of the service; it is sent, and shown nowhere.
            key_env: Environment variable that it was read from.
            header: Where the key goes.
            scheme: What stands before it.
            seconds: That an answer may take in all.
            largest: Bytes that an answer may have.
            loopback: Whether the service is on this machine, where no proxy stands between.
            doubtful: Statuses that, with this service, do not tell that trying again is in vain.
        """
        self._secret, self._seconds, self._largest = secret, seconds, largest
        self._key_env = key_env
        self._doubtful = doubtful
        fixed = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if secret is not None:
            fixed[header] = scheme + secret
        self._connect_seconds = min(CONNECT_SECONDS, seconds)
        self._client_of = partial(
            httpx.Client,
            headers=fixed,
            verify=httpx.create_ssl_context(trust_env=not loopback),
            timeout=httpx.Timeout(seconds, connect=self._connect_seconds),
            follow_redirects=False,
            trust_env=not loopback,
        )
        self._idle: list[httpx.Client] = []
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends the connections that are idle; the others end with their answers."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for client in idle:
            client.close()

    def exchange(self, call: Call) -> Reply:
        """Sends a request and reads the whole answer.

        It is waited for from outside, for the headers of an answer may drip: each read of theirs is
        in time, their sum never. Whoever does that is left with its connection.

        Raises:
            Fault: There is no answer, or it has another status than 200.
        """
        found: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                found.put(self._apart(call))
            except BaseException as error:
                found.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            reply = found.get(timeout=self._connect_seconds + self._seconds + GRACE_SECONDS)
        except queue.Empty:
            raise Fault("doubtful", f"no answer within {self._seconds:g} seconds") from None
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def _apart(self, call: Call) -> Reply:
        """On a connection that nobody else uses; it is kept if the answer was read to its end."""
        with self._lock:
            client = self._idle.pop() if self._idle else self._client_of()
        whole = False
        try:
            reply = self._exchange(client, call)
            whole = True
            return reply
        except Fault as fault:
            whole = fault.status is not None
            raise
        finally:
            with self._lock:
                if keep := whole and not self._closed:
                    self._idle.append(client)
            if not keep:
                client.close()

    def _exchange(self, client: httpx.Client, call: Call) -> Reply:
        deadline = time.monotonic() + self._seconds
        method = "GET" if call.body is None else "POST"
        try:
            with client.stream(
                method, call.url, content=call.body, headers=dict(call.headers or {})
            ) as answer:
                body = self._read(answer, deadline)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise Fault("refused", f"the certificate is not valid: {error}") from error
            raise Fault(
                "unreached",
                f"no connection to {_server(call.url)}: {self.clean(error) or type(error).__name__}",
            ) from error
        except httpx.TimeoutException as error:
            raise Fault("doubtful", f"no answer within {self._seconds:g} seconds") from error
        except httpx.HTTPError as error:
            raise Fault("doubtful", f"the exchange broke off: {self.clean(error)}") from error
        if answer.status_code != 200:
            raise self._fault(answer, body)
        return Reply(answer.headers, body)

    def _read(self, answer: httpx.Response, deadline: float) -> bytes:
        parts, size = [], 0
        for part in answer.iter_bytes():
            size += len(part)
            if size > self._largest:
                raise Fault("doubtful", f"the answer is larger than {self._largest:,} bytes")
            if time.monotonic() > deadline:
                raise Fault("doubtful", f"the answer took longer than {self._seconds:g} seconds")
            parts.append(part)
        return b"".join(parts)

    def _fault(self, answer: httpx.Response, body: bytes) -> Fault:
        status = answer.status_code
        said = " ".join(self.clean(body[: 4 * EXCERPT].decode(errors="replace")).split())[:EXCERPT]
        phrase = self.clean(answer.reason_phrase)
        message = f"{status} {phrase}".strip() + (f": {said}" if said else "")
        if status == 429:
            return Fault("busy", message, status, retry_delay(answer.headers))
        if 300 <= status < 400:
            target = urlsplit(answer.headers.get("location", ""))
            place = (
                f"{target.scheme}://{target.netloc}{target.path}" if target.netloc else "elsewhere"
            )
            message = (
                f"{status}: it points to {self.clean(place)}, where keys and images are not sent"
            )
            return Fault("refused", message, status)
        if status in (401, 403):
            state = "set" if self._secret else "not set"
            message += f" (the key is read from {self._key_env}, which is {state})"
        if status == 408 or status >= 500 or status in self._doubtful:
            return Fault("doubtful", message, status, retry_delay(answer.headers))
        return Fault("refused", message, status)

    def clean(self, text: object) -> str:
        """A text without the key, should a service repeat it."""
        return str(text).replace(self._secret, "***") if self._secret else str(text)


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds that a service asks to wait, from the headers in use; ``None`` if none is there.

    Read are ``retry-after-ms``, ``retry-after`` (seconds or a date) and ``x-ratelimit-reset`` (seconds,
    or a point in time since 1970).
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
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except ValueError:
                continue
        if seconds > 1e9:  # a point in time, not a span
            seconds -= time.time()
        if seconds == seconds:
            return max(0.0, seconds)
    return None


def checked_url(url: str) -> tuple[str, bool]:
    """An address of a service without a last slash, and whether it is on this machine.

    Raises:
        ConfigError: It is no http or https address, or it holds what may be a secret.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"encoder.url cannot be read: {error}") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "encoder.url holds a user, a password, a query or a fragment; an address is stored with "
            "every run, so keys go into the environment variable named by encoder.key_env"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(
            f"encoder.url is {url!r}, but must be an address such as "
            "http://127.0.0.1:8000/v2/models/vit-mae (--encoder-url)"
        )
    return url.rstrip("/"), is_loopback(host)


def _server(url: str) -> str:
    """Where an address leads, without its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
