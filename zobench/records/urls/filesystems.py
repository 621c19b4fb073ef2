"""Filesystems at URLs, through fsspec; their errors become :class:`~zobench.errors.StoreError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zobench.errors import ConfigError, StoreError, ZobenchError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@contextmanager
def filesystem(url: str, safe: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    """The filesystem of a URL, which looks anew, and the path in it.

    Args:
        url: Of a folder, which need not be there.
        safe: Where what was computed lies while the filesystem cannot be reached.

    Raises:
        ConfigError: No filesystem is known for the URL.
        StoreError: It cannot be read or written.
    """
    import fsspec

    scheme = url.partition("://")[0]
    try:
        try:
            options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
            system, root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            extra = {"s3": "s3", "gs": "gs", "gcs": "gs"}.get(scheme)
            advice = (
                f"pip install 'zobench[{extra}]'" if extra else "see fsspec's list of filesystems"
            )
            raise ConfigError(f"{url}: {error}; {advice}") from error
        yield system, root.rstrip("/")
    except ZobenchError:
        raise
    except Exception as error:  # every filesystem has its own
        raise StoreError(
            f"{url} cannot be read or written: {type(error).__name__}: {error}; what was computed is "
            f"safe in {safe}: mend the access, then resume the run, or start the suite again"
        ) from error


def listed(system: AbstractFileSystem, root: str) -> dict[str, Any]:
    """All files below a folder by their relative names, with what the filesystem says of each now."""
    system.invalidate_cache()
    try:
        found = system.find(root, detail=True)
        if not found:
            system.ls(root)  # raises where the other keeps silent about what it may not read
    except FileNotFoundError:
        return {}
    return {name.removeprefix(root).lstrip("/"): note for name, note in found.items()}
