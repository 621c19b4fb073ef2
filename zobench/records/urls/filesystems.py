"""Opens filesystems at URLs with fsspec; raises their errors as a StoreError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zobench.errors import ConfigError, StoreError, ZobenchError
from zobench.files.names import require_plain_path
from zobench.files.regular import MAX_BYTES

MAX_FILES = 5_000_000
"""Most files below a URL of runs."""

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@contextmanager
def filesystem(url: str, safe: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    """The filesystem of a URL, and the path of the URL in that filesystem.

    Args:
        url: URL of a folder; the folder may not exist yet.
        safe: Local folder that keeps the computed runs; named in the message of an error.

    Raises:
        ConfigError: No filesystem is known for the URL.
        StoreError: The filesystem cannot be read or written.
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
    except Exception as error:  # every filesystem raises its own kinds of errors
        raise StoreError(
            f"{url} cannot be read or written: {type(error).__name__}: {error}; computed "
            f"runs are kept in {safe}; restore access, then resume the run or start the suite again"
        ) from error


def listed(system: AbstractFileSystem, root: str) -> dict[str, Any]:
    """All files below a folder by relative name, with the current file details of each.

    Raises:
        StoreError: A name would lead out of the folder, or there are too many or too large files.
    """
    system.invalidate_cache()
    try:
        entries = system.find(root, detail=True)
        if not entries:
            system.ls(root)  # raises an error if access is denied; find returns nothing
    except FileNotFoundError:
        return {}
    if len(entries) > MAX_FILES:
        raise StoreError(f"{root} holds {len(entries):,} files; at most {MAX_FILES:,} are read")
    files = {
        name.removeprefix(root).removeprefix("/"): note
        for name, note in entries.items()
        if name != root and not (name.endswith("/") and not note.get("size"))  # a folder's mark
    }
    for name, note in files.items():
        require_plain_path(name, root)
        size = note.get("size")
        if isinstance(size, int) and size > MAX_BYTES:
            raise StoreError(
                f"{root}/{name} has {size:,} bytes; files of runs have at most {MAX_BYTES:,}"
            )
    return files
