"""Files that survive a crash: replaced as a whole, or appended by lines; no pickle."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zobench.errors import StoreError

if TYPE_CHECKING:
    from torch import Tensor

Json = dict[str, Any]


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a failed read or write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read or written: {error.strerror or error}; what was stored before is "
            "safe: free some space or mend the permissions, then zobench resume, or choose another "
            "folder with --out"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file so that a reader sees the old or the new content, whatever crashes."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".part")
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: object) -> None:
    """Atomically writes JSON, numbers in full precision; NaN and infinity are refused."""
    text = json.dumps(value, indent=1, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        StoreError: The file is missing or is not JSON.
    """
    with disk_errors(path):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except ValueError as error:
        raise StoreError(f"{path} is not valid JSON: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Json | None = None) -> None:
    """Atomically writes tensors and JSON notes as one safetensors file."""
    import torch
    from safetensors.torch import save

    metadata = {"notes": json.dumps(notes or {}, sort_keys=True)}
    contiguous = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    write_atomically(path, save(contiguous, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Json]:
    """Reads what :func:`write_tensors` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with disk_errors(path), safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = json.loads((file.metadata() or {}).get("notes", "{}"))
    except SafetensorError as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    return tensors, notes


def read_rows(path: Path) -> list[Json]:
    """Rows of a JSON-lines file, without a torn last line."""
    if not path.exists():
        return []
    with disk_errors(path):
        content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def append_lines(path: Path, content: bytes) -> None:
    """Adds whole lines in one write, and waits for the disk."""
    with disk_errors(path), path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def keep_rows(path: Path, rows: int) -> None:
    """Cuts a JSON-lines file after its first ``rows`` rows."""
    if not path.exists():
        return
    with disk_errors(path), path.open("r+b") as file:
        for _ in range(rows):
            line = file.readline()
            if not line.endswith(b"\n"):
                raise StoreError(
                    f"{path} has fewer rows than its checkpoint ({rows}): it was changed"
                )
        file.truncate(file.tell())
