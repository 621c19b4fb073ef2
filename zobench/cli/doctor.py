"""``zobench doctor``: checks the installation."""

from __future__ import annotations

from .options import JsonFlag


def doctor(as_json: JsonFlag = False) -> None:
    """Check this installation: versions, devices, caches, plugins, and what is missing."""
    from .display.installation import examine

    examine(as_json)
