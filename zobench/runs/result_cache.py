"""Results that several runs have in common: clean embeddings, SA heads, ERM scores.

One file a result in the user's cache, named by the digest of everything that the result depends on.
Processes that compute the same result write the same bytes, so they need no lock; a file that is
missing or damaged is computed again, and one that cannot be written is done without.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.errors import StoreError
from zobench.files.json_files import Json
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.registry.discovery import distribution_version

if TYPE_CHECKING:
    from torch import Tensor

LIBRARIES = ("torch", "numpy", "scipy")
"""Their versions are part of every key: another version may round the last bit otherwise."""

Part = str | int | float | Mapping[str, Any] | NDArray[Any]


def digest(*parts: Part) -> str:
    """Digest of texts, numbers, JSON objects and the content of arrays."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(f"{part.dtype}{part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).data)
        else:
            hasher.update(json.dumps(part, sort_keys=True).encode())
        hasher.update(b"\0")
    return hasher.hexdigest()


@cache
def code_digest() -> str:
    """Digest of every module of the core and of the versions of :data:`LIBRARIES`.

    A result that was computed by other code, or with another library, is never shared.
    """
    core = Path(__file__).parents[1]
    modules = (path.read_text(encoding="utf-8") for path in sorted(core.rglob("*.py")))
    return digest(*modules, *(f"{name} {distribution_version(name)}" for name in LIBRARIES))


def arithmetic() -> str:
    """The number of threads and the instructions of the processor, which decide the last bit."""
    import torch

    return f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


class ResultCache:
    """A folder of results by digest; may be deleted at any time without losing a result."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> tuple[dict[str, Tensor], Json] | None:
        """Tensors and notes, or ``None`` where there is nothing that can be read."""
        path = self._path(key)
        try:
            return read_tensors(path) if path.exists() else None
        except (StoreError, OSError):  # the folder may be somebody else's
            return None

    def write(self, key: str, tensors: Mapping[str, Tensor], notes: Json | None = None) -> None:
        """Keeps a result, if the disk lets it."""
        with suppress(StoreError):
            write_tensors(self._path(key), tensors, notes, durable=False)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}.safetensors"
