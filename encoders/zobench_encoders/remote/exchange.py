"""Sends one request within limits of size and time, and assigns every failure one of four kinds."""

from __future__ import annotations

import os
import queue
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import httpx2 as httpx

from zobench.errors import ConfigError

from .request_failure import RequestFailure, retry_delay
from .service_text import ServiceText

CONNECT_SECONDS = 10.0
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Environment variables that name other certificates than the bundled ones."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
"""Environment variables that name a proxy."""
GRACE_SECONDS = 2.0
"""Seconds added to the time limits of connecting and answering together."""


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


class Connections:
    """Connections to one service, kept open; each carries one request at a time.

    Attributes:
        text: Cleans and shortens texts of the service for messages.
    """

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
        hidden: Iterable[str] = (),
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
            hidden: Further texts that no message shows, since they may be secrets.

        Raises:
            ConfigError: Certificates cannot be read, or a proxy cannot be used, that an environment
                variable names.
        """
        self.text = ServiceText(secret, *hidden)
        self._seconds, self._largest = seconds, largest
        self._key = f"the key is read from {key_env}, which is {'set' if secret else 'not set'}"
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
        outcome: queue.SimpleQueue[ServiceReply | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                outcome.put(self._exchange_on_own_connection(call))
            except BaseException as error:
                outcome.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            reply = outcome.get(timeout=self._connect_seconds + self._seconds + GRACE_SECONDS)
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
            raise RequestFailure(
                "refused", f"it cannot be sent: {self.text.clean(error)}"
            ) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RequestFailure("refused", f"the certificate is not valid: {error}") from error
            proxies = f" (proxies are set: {', '.join(self._proxies)})" if self._proxies else ""
            raise RequestFailure(
                "unreached",
                f"no connection to {_server(call.url)}{proxies}: "
                f"{self.text.clean(error) or type(error).__name__}",
            ) from error
        except httpx.TimeoutException as error:
            raise RequestFailure(
                "doubtful", f"no answer within {self._seconds:g} seconds"
            ) from error
        except httpx.HTTPError as error:
            raise RequestFailure(
                "doubtful", f"the exchange broke off: {self.text.clean(error)}"
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
        said = self.text.of_body(body, answer.headers.get("content-type", ""))
        phrase = self.text.excerpt(answer.reason_phrase)
        message = f"{status} {phrase}".strip() + (f": {said}" if said else "")
        if status == 429:
            return RequestFailure("busy", message, status, retry_delay(answer.headers))
        if 300 <= status < 400:
            place = self.text.excerpt(_place(answer.headers.get("location", "")))
            message = f"{status}: it points to {place}, where keys and images are not sent"
            return RequestFailure("refused", message, status)
        if 200 <= status < 300:
            message += "; embeddings come with status 200, so these images may be billed"
        if status == 404:
            message += f" (asked was {_place(call.url)})"
        if status in (401, 403):
            message += f" ({self._key})"
        if status == 408 or status >= 500 or status in self._doubtful:
            return RequestFailure("doubtful", message, status, retry_delay(answer.headers))
        return RequestFailure("refused", message, status)


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


def _server(url: str) -> str:
    """The scheme and host of an address, without its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
