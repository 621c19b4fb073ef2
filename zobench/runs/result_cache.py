"""The cache of results that several runs share: clean embeddings and SA heads.

The user's cache folder has one file per result, named by a digest of everything that the result
depends on. Processes that compute the same result write the same bytes, so they need no lock. A
result whose file is missing or damaged is computed again. If a file cannot be written, the run goes
on without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.errors import DamagedError, StoreError
from zobench.files.json_files import Json
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.registry.discovery import distribution_version

if TYPE_CHECKING:
    from torch import Tensor

NUMERIC_LIBRARIES = ("torch", "numpy", "scipy")
"""Libraries whose versions are part of every key, since the version may change the last bit."""

Part = str | int | float | Mapping[str, Any] | NDArray[Any]


def digest(*parts: Part) -> str:
    """Digest of a sequence of strings, numbers, JSON objects and arrays."""
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
    """Digest of all modules of the core and of the versions of :data:`NUMERIC_LIBRARIES`.

    A result is thus shared only between runs with equal code and equal library versions.
    """
    core = Path(__file__).parents[1]
    modules = (path.read_text(encoding="utf-8") for path in sorted(core.rglob("*.py")))
    return digest(*modules, *(f"{name} {distribution_version(name)}" for name in NUMERIC_LIBRARIES))


def processor() -> str:
    """Torch's thread count and CPU instruction set; both can change the last bit of a result."""
    import torch

    return f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


class ResultCache:
    """A folder of results by digest; if it is deleted, the results are computed again."""

    def __init__(self, folder: Path, note: Callable[[str], None] = lambda text: None) -> None:
        """Reads and writes nothing yet.

        Args:
            folder: The folder of the results.
            note: Told of each damaged file.
        """
        self._folder, self._note = folder, note

    def read(self, key: str) -> tuple[dict[str, Tensor], Json] | None:
        """Tensors and notes of a result; ``None`` if its file is missing or cannot be read."""
        path = self._path(key)
        try:
            if not path.exists():
                return None
            tensors, stored = read_tensors(path)
            if stored.get("key") == key:
                return tensors, stored["notes"]
            self._note(f"{path} is another result; this one is computed anew")
        except DamagedError as error:
            self._note(f"{error.fault}; the result is computed anew")
        except (StoreError, OSError):  # the folder may belong to another user
            pass
        return None

    def write(self, key: str, tensors: Mapping[str, Tensor], notes: Json | None = None) -> None:
        """Stores a result; a failure to write the file is ignored."""
        with suppress(StoreError):
            stored = {"key": key, "notes": notes or {}}
            write_tensors(self._path(key), tensors, stored, durable=False)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}.safetensors"
