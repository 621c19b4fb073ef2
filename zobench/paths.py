"""Paths as users type them, and that of the cache folder, whose files zobench can compute again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The cache: ``ZOBENCH_CACHE`` if it is set, else the user's cache folder."""
    import platformdirs

    named = os.environ.get("ZOBENCH_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("zobench"))


def expanded(typed: str | os.PathLike[str]) -> Path:
    """A path as a user types it: ``~`` is a home folder, and is kept where there is no such user."""
    try:
        return Path(os.path.expanduser(typed))
    except ValueError:  # a null byte, which no user's name has
        return Path(typed)
