"""Checks names from outside before they become paths on this machine."""

from __future__ import annotations

import re

from zobench.errors import StoreError

MAX_BYTES = 255
"""Most bytes of a part of a path."""

DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that are devices on Windows, in any folder."""


def require_plain_path(name: str, source: str) -> None:
    """Raises unless a name is a relative path that stays below the folder it is put in.

    Args:
        name: Parts joined by ``/``, such as ``run1/snapshots/000000000064.safetensors``.
        source: Where the name comes from, for messages.

    Raises:
        StoreError: A part is empty, ``.``, ``..``, a device or too long, or holds a backslash, a
            colon or a control character.
    """
    for part in name.split("/"):
        fault = _fault(part)
        if fault:
            raise StoreError(
                f"{source} holds a file named {name[:200]!r}, {fault}: it would not stay in its folder; "
                "remove that file, and read again"
            )


def _fault(part: str) -> str:
    if part in ("", ".", ".."):
        return "with an empty part" if not part else f"with the part {part!r}"
    if not part.isprintable() or "\\" in part or ":" in part:
        return "with a backslash, a colon or a control character"
    if DEVICES.fullmatch(part):
        return f"with the device name {part!r}"
    if len(part.encode(errors="surrogatepass")) > MAX_BYTES:
        return f"with a part of more than {MAX_BYTES} bytes"
    return ""
