"""Texts of a service for messages: on one line, short, and without the service's key."""

from __future__ import annotations

import re
from functools import cache
from html import unescape
from html.entities import html5

EXCERPT = 300
"""Most characters of a service's text in a message."""

LONG_EXCERPT = 65_536
"""Characters of a service's text that the key is removed from before the text is cut."""

MARKUP = re.compile(r"(?s)<(script|style)\b.*?</\1>|<[^<>]*>")
"""The parts of a web page that are not text."""

LONG_PAGE = 16_384
"""Characters of a web page that are read for a message; removing its tags takes longer."""

ESCAPED_LENGTH = 10
"""Length of a long escape of one character of a key, such as ``&#x0003D;``."""


class ServiceText:
    """Removes secrets and control characters from texts of a service.

    A service may show a key in another form than it was sent: with the escapes of JSON,
    percent-encoded as in an address, as entities of HTML, or broken by tags.
    """

    def __init__(self, *secrets: str | None) -> None:
        """Remembers the secrets.

        Args:
            secrets: The key of the service, and other texts of its headers; ``None`` and empty ones
                count for nothing.
        """
        given = sorted(filter(None, secrets), key=len, reverse=True)
        self._longest = max(map(len, given), default=0)
        self._secret = re.compile("|".join(map(_in_any_form, given))) if given else None

    def clean(self, text: object) -> str:
        """The text without the service's key, and with control characters escaped."""
        return _printable(self._without_key(str(text)))

    def excerpt(self, text: str) -> str:
        """The beginning of a text of the service, as an error message shows it, on one line.

        The key is removed before the text is cut, so that no part of it stays at the cut.
        """
        if len(text) > LONG_EXCERPT:
            text = self._without_end(text[:LONG_EXCERPT])
        return _printable(" ".join(self._without_key(text).split()))[:EXCERPT]

    def of_body(self, body: bytes, content_type: str) -> str:
        """The beginning of the body of an answer on one line; of a web page, its text."""
        page = "html" in content_type
        most = LONG_PAGE if page else LONG_EXCERPT
        text = body[:most].decode(errors="replace")
        if len(body) > most:
            text = self._without_end(text)
        return self.excerpt(unescape(MARKUP.sub(" ", self._without_key(text))) if page else text)

    def _without_end(self, text: str) -> str:
        """A text that was cut, without its end, where a part of a secret may have been left."""
        return text[: max(0, len(text) - self._longest * ESCAPED_LENGTH)]

    def _without_key(self, text: str) -> str:
        return text if self._secret is None else self._secret.sub("***", text)


def _in_any_form(secret: str) -> str:
    """A pattern of a secret as it is, or with its characters escaped, each by itself.

    Tags may stand between them, as an HTML page breaks long words.
    """
    return f"{re.escape(secret)}|{'(?:<[^<>]{0,40}>){0,2}'.join(map(_character, secret))}"


def _character(character: str) -> str:
    number = ord(character)
    # a backslash is doubled, and others may have some before them, as in JSON inside JSON
    itself = r"\\\\" if character == "\\" else rf"\\{{0,4}}{re.escape(character)}"
    forms = [
        itself,
        rf"(?i:\\{{1,4}}u{number:04x})",
        rf"(?i:&#0*{number};|&#x0*{number:x};)",
        f"(?i:{''.join(f'%{byte:02x}' for byte in character.encode())})",
        *(f"&{name}" for name in _entities().get(character, ())),
    ]
    return f"(?:{'|'.join(forms)})"


@cache
def _entities() -> dict[str, list[str]]:
    """The names of HTML's entities, with their semicolons, by what they stand for."""
    names: dict[str, list[str]] = {}
    for name, text in html5.items():
        if name.endswith(";"):
            names.setdefault(text, []).append(name)
    return names


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
