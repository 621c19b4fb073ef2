"""Reads and writes safetensors files that hold tensors and JSON notes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.errors import StoreError

from .atomic import disk_errors, write_atomically
from .json_files import Json
from .location import Place

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(
    place: Place, tensors: Mapping[str, Tensor], notes: Json | None = None, *, durable: bool = True
) -> None:
    """Replaces the content of a file by tensors and JSON notes.

    Args:
        place: The file; its name usually ends in ``.safetensors``.
        tensors: Tensors by name, of any shape and on any device.
        notes: A JSON object, stored in the metadata of the file.
        durable: Whether to wait until the file is on disk.

    Raises:
        StoreError: The file cannot be written.
    """
    import torch
    from safetensors.torch import save

    metadata = {"notes": json.dumps(notes or {}, sort_keys=True)}
    contiguous = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    write_atomically(place, save(contiguous, metadata), durable=durable)


def read_tensors(place: Place) -> tuple[dict[str, Tensor], Json]:
    """Reads the tensors by name and the notes that :func:`write_tensors` wrote.

    Raises:
        StoreError: The file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with disk_errors(place), safe_open(Path(place), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = json.loads((file.metadata() or {}).get("notes", "{}"))
    except (SafetensorError, ValueError) as error:
        raise StoreError(f"{place} is damaged: {error}") from error
    return tensors, notes
