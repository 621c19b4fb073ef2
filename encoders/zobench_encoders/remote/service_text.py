"""Texts of a service for messages: on one line, short, and without the service's key."""

from __future__ import annotations

import re
from html import unescape
from html.entities import codepoint2name

EXCERPT = 300
"""Most characters of a service's text in a message."""

LONG_EXCERPT = 65_536
"""Characters of a service's text that the key is removed from before the text is cut."""

MARKUP = re.compile(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>")
"""The parts of a web page that are not text."""


MOST_A_CHARACTER = 10
"""Most characters that stand for one of a key, such as ``&#x0003D;``."""


class ServiceText:
    """Removes secrets and control characters from texts of a service.

    A service may show a key in another form than it was sent: escaped as in JSON, percent-encoded as
    in an address, or as entities of HTML.
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
        line = _printable(" ".join(self._without_key(text).split()))
        if len(text) >= LONG_EXCERPT and self._secret:
            # the cut may have left a part of a secret at the end
            line = line[: -self._longest * MOST_A_CHARACTER]
        return line[:EXCERPT]

    def of_body(self, body: bytes, content_type: str) -> str:
        """The beginning of the body of an answer on one line; of a web page, its text."""
        text = body[:LONG_EXCERPT].decode(errors="replace")
        if "html" not in content_type:
            return self.excerpt(text)
        return self.excerpt(unescape(MARKUP.sub(" ", self._without_key(text))))

    def _without_key(self, text: str) -> str:
        return text if self._secret is None else self._secret.sub("***", text)


def _in_any_form(secret: str) -> str:
    """A pattern of a secret whose characters stand for themselves or are escaped, each by itself.

    Tags may stand between them, as an HTML page breaks long words.
    """
    return "(?:<[^<>]{0,40}>)?".join(map(_character, secret))


def _character(character: str) -> str:
    number = ord(character)
    forms = [
        rf"\\?{re.escape(character)}",
        rf"(?i:\\u{number:04x})",
        rf"(?i:&#0*{number};|&#x0*{number:x};)",
        f"(?i:{''.join(f'%{byte:02x}' for byte in character.encode())})",
    ]
    if name := codepoint2name.get(number):
        forms.append(f"&{name};")
    return f"(?:{'|'.join(forms)})"


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
