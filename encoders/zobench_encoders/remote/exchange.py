"""Sends one request within limits of size and time, and assigns every failure one of four kinds."""

from __future__ import annotations

import json
import os
import queue
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from html import unescape
from typing import Literal
from urllib.parse import urlsplit

import httpx2 as httpx

from zobench.errors import ConfigError

Kind = Literal["unreached", "busy", "doubtful", "refused"]
"""The kind of a failed request:

- ``unreached``: the request never arrived; it is not billed; a retry may succeed.
- ``busy``: the status is 429; the request is not billed; a later retry may succeed.
- ``doubtful``: the request may have been processed and billed; a retry may succeed.
- ``refused``: the same request will fail again; it is not billed.
"""

CONNECT_SECONDS = 10.0
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Environment variables that name other certificates than the bundled ones."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
"""Environment variables that name a proxy."""
GRACE_SECONDS = 2.0
"""Seconds added to the time limits of connecting and answering together."""

EXCERPT = 300
"""Most characters of a service's text in a message."""

LONG_EXCERPT = 65_536
"""Characters of a service's text that the key is removed from before the text is cut."""
MARKUP = re.compile(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>")
"""What is not text in a web page."""


@dataclass(frozen=True)
class Call:
    """A request to a service.

    Attributes:
        url: Address of the request.
        body: Body of a POST request; ``None`` makes a GET request.
        headers: Headers that describe the body.
    """

    url: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ServiceReply:
    """An answer with status 200."""

    headers: Mapping[str, str]
    body: bytes


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
        """Opens no connection.

        Args:
            secret: Key of the service; it is sent in a header and never shown.
            key_env: Environment variable that the key was read from.
            header: Name of the HTTP header that holds the key.
            scheme: Text before the key in this header.
            seconds: Time limit of a whole answer, in seconds.
            largest: Largest size of an answer in bytes.
            loopback: Whether the service is on this machine; then proxy settings are ignored.
            doubtful: Statuses of this service after which a retry may succeed.

        Raises:
            ConfigError: Certificates cannot be read, or a proxy cannot be used, that an environment
                variable names.
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
            verify=_certificates(trust_env=not loopback),
            timeout=httpx.Timeout(seconds, connect=self._connect_seconds),
            follow_redirects=False,
            trust_env=not loopback,
        )
        self._proxies = [] if loopback else [name for name in PROXIES if os.environ.get(name)]
        self._idle = [self._first_client()]
        self._closed = False
        self._lock = threading.Lock()

    def _first_client(self) -> httpx.Client:
        try:
            return self._client_of()
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            if not self._proxies:
                raise
            raise ConfigError(
                f"the proxy that {' or '.join(self._proxies)} names cannot be used: "
                f"{type(error).__name__}; proxies are http://HOST:PORT (those of SOCKS need the package "
                "socksio). Mend the variable, or unset it"
            ) from error

    def close(self) -> None:
        """Closes the idle connections; each busy connection is closed after its answer."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for client in idle:
            client.close()

    def exchange(self, call: Call) -> ServiceReply:
        """Sends a request and reads the whole answer.

        The request runs in a thread of its own, and this method waits for the thread with a time
        limit: a server that sends its headers byte by byte keeps the time limit of every single
        read. After the time limit the thread and its connection are abandoned.

        Raises:
            RequestFailure: There is no answer, or it has another status than 200.
        """
        found: queue.SimpleQueue[ServiceReply | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                found.put(self._exchange_on_own_connection(call))
            except BaseException as error:
                found.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            reply = found.get(timeout=self._connect_seconds + self._seconds + GRACE_SECONDS)
        except queue.Empty:
            raise RequestFailure(
                "doubtful", f"no answer within {self._seconds:g} seconds"
            ) from None
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def _exchange_on_own_connection(self, call: Call) -> ServiceReply:
        """Sends the request on an unused connection, which is kept if the whole answer was read."""
        with self._lock:
            client = self._idle.pop() if self._idle else self._client_of()
        whole = False
        try:
            reply = self._exchange(client, call)
            whole = True
            return reply
        except RequestFailure as fault:
            whole = fault.status is not None
            raise
        finally:
            with self._lock:
                if keep := whole and not self._closed:
                    self._idle.append(client)
            if not keep:
                client.close()

    def _exchange(self, client: httpx.Client, call: Call) -> ServiceReply:
        deadline = time.monotonic() + self._seconds
        method = "GET" if call.body is None else "POST"
        try:
            with client.stream(
                method, call.url, content=call.body, headers=dict(call.headers or {})
            ) as answer:
                body = self._read(answer, deadline)
        except httpx.LocalProtocolError as error:  # nothing was sent
            raise RequestFailure("refused", f"it cannot be sent: {self.clean(error)}") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RequestFailure("refused", f"the certificate is not valid: {error}") from error
            proxies = f" (proxies are set: {', '.join(self._proxies)})" if self._proxies else ""
            raise RequestFailure(
                "unreached",
                f"no connection to {_server(call.url)}{proxies}: "
                f"{self.clean(error) or type(error).__name__}",
            ) from error
        except httpx.TimeoutException as error:
            raise RequestFailure(
                "doubtful", f"no answer within {self._seconds:g} seconds"
            ) from error
        except httpx.HTTPError as error:
            raise RequestFailure(
                "doubtful", f"the exchange broke off: {self.clean(error)}"
            ) from error
        if answer.status_code != 200:
            raise self._fault(call, answer, body)
        return ServiceReply(answer.headers, body)

    def _read(self, answer: httpx.Response, deadline: float) -> bytes:
        parts, size = [], 0
        for part in answer.iter_bytes():
            size += len(part)
            if size > self._largest:
                raise RequestFailure(
                    "doubtful", f"the answer is larger than {self._largest:,} bytes"
                )
            if time.monotonic() > deadline:
                raise RequestFailure(
                    "doubtful", f"the answer took longer than {self._seconds:g} seconds"
                )
            parts.append(part)
        return b"".join(parts)

    def _fault(self, call: Call, answer: httpx.Response, body: bytes) -> RequestFailure:
        status = answer.status_code
        text = body[:LONG_EXCERPT].decode(errors="replace")
        page = "html" in answer.headers.get("content-type", "")
        said = self.excerpt(unescape(MARKUP.sub(" ", text)) if page else text)
        phrase = self.excerpt(answer.reason_phrase)
        message = f"{status} {phrase}".strip() + (f": {said}" if said else "")
        if status == 429:
            return RequestFailure("busy", message, status, retry_delay(answer.headers))
        if 300 <= status < 400:
            place = self.excerpt(_place(answer.headers.get("location", "")))
            message = f"{status}: it points to {place}, where keys and images are not sent"
            return RequestFailure("refused", message, status)
        if 200 <= status < 300:
            message += "; embeddings come with status 200, so these images may be billed"
        if status == 404:
            message += f" (asked was {_place(call.url)})"
        if status in (401, 403):
            state = "set" if self._secret else "not set"
            message += f" (the key is read from {self._key_env}, which is {state})"
        if status == 408 or status >= 500 or status in self._doubtful:
            return RequestFailure("doubtful", message, status, retry_delay(answer.headers))
        return RequestFailure("refused", message, status)

    def clean(self, text: object) -> str:
        """The text without the service's key, and with control characters escaped."""
        return _printable(self._without_key(str(text)))

    def _without_key(self, text: str) -> str:
        if self._secret:
            for form in {self._secret, repr(self._secret)[1:-1], json.dumps(self._secret)[1:-1]}:
                text = text.replace(form, "***")
        return text

    def excerpt(self, text: str) -> str:
        """The beginning of a text of the service, as an error message shows it, on one line.

        The key is removed before the text is cut, so that no part of it stays at the cut.
        """
        whole = len(text) < LONG_EXCERPT
        found = _printable(" ".join(self._without_key(text).split()))
        if not whole:  # the cut may have left a part of the key at the end
            found = found[: -len(self._secret or "")] if self._secret else found
        return found[:EXCERPT]


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds that a service asks to wait, from the headers; ``None`` if no header says so.

    The headers are ``retry-after-ms``,
    ``retry-after`` (seconds or a date) and ``x-ratelimit-reset`` (seconds,
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
                when = parsedate_to_datetime(text)  # without a zone it is in GMT (RFC 9110, 5.6.7)
                when = when.replace(tzinfo=when.tzinfo or UTC)
                seconds = when.timestamp() - time.time()
            except (ValueError, OverflowError, TypeError, IndexError, OSError):
                continue
        if seconds > 1e9:  # a point in time, not a span
            seconds -= time.time()
        if seconds == seconds:
            return max(0.0, seconds)
    return None


def _certificates(*, trust_env: bool) -> ssl.SSLContext:
    """The certificates that a service is checked by.

    Raises:
        ConfigError: An environment variable names certificates that cannot be read.
    """
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except OSError as error:
        named = [f"{name}={os.environ[name]}" for name in CERTIFICATES if os.environ.get(name)]
        raise ConfigError(
            f"the certificates of {(named or ['this machine'])[0]} cannot be read: "
            f"{error.strerror or error}; mend the variable, or unset it"
        ) from error


def _place(location: str) -> str:
    """The address that a redirection names, without its query; ``elsewhere`` if it names none."""
    try:
        target = urlsplit(location)
    except ValueError:
        return "an address that cannot be read"
    return f"{target.scheme}://{target.netloc}{target.path}" if target.netloc else "elsewhere"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _server(url: str) -> str:
    """The scheme and host of an address, without its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
