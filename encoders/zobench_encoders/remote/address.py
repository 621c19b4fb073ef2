"""The address of a service, as a user gives it."""

from __future__ import annotations

from urllib.parse import urlsplit

from zobench.contracts.parameters import cut
from zobench.errors import ConfigError
from zobench.serving.addresses import is_loopback


def checked_url(url: str) -> tuple[str, bool]:
    """The address without a trailing slash, and whether its host is this machine.

    Raises:
        ConfigError: ``url`` is no http or https address, or a part of it may be a secret.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"encoder.url cannot be read: {error}") from error
    if any(not character.isprintable() or character.isspace() for character in url):
        raise ConfigError("encoder.url holds a blank or a character that cannot be printed")
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ConfigError(
            f"encoder.url names {cut(host)}, which cannot be a host: {error}"
        ) from error
    if parts.username or parts.password or "?" in url or "#" in url:
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
