"""Texts of a service for messages: on one line, short, and without the service's key."""

from __future__ import annotations

import json
import re
from html import unescape

EXCERPT = 300
"""Most characters of a service's text in a message."""

LONG_EXCERPT = 65_536
"""Characters of a service's text that the key is removed from before the text is cut."""

MARKUP = re.compile(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>")
"""The parts of a web page that are not text."""


class ServiceText:
    """Removes a service's key and control characters from texts of the service."""

    def __init__(self, secret: str | None) -> None:
        """Remembers the key.

        Args:
            secret: Key of the service; ``None`` for a service without one.
        """
        self._secret = secret or ""

    def clean(self, text: object) -> str:
        """The text without the service's key, and with control characters escaped."""
        return _printable(self._without_key(str(text)))

    def excerpt(self, text: str) -> str:
        """The beginning of a text of the service, as an error message shows it, on one line.

        The key is removed before the text is cut, so that no part of it stays at the cut.
        """
        line = _printable(" ".join(self._without_key(text).split()))
        if len(text) >= LONG_EXCERPT and self._secret:
            line = line[: -len(self._secret)]  # the cut may have left a part of the key at the end
        return line[:EXCERPT]

    def of_body(self, body: bytes, content_type: str) -> str:
        """The beginning of the body of an answer on one line; of a web page, its text."""
        text = body[:LONG_EXCERPT].decode(errors="replace")
        return self.excerpt(unescape(MARKUP.sub(" ", text)) if "html" in content_type else text)

    def _without_key(self, text: str) -> str:
        if self._secret:
            for form in {self._secret, repr(self._secret)[1:-1], json.dumps(self._secret)[1:-1]}:
                text = text.replace(form, "***")
        return text


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
