"""Reads and writes safetensors files that hold tensors, JSON notes and their own checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .atomic import CONTENT_ERRORS, damaged, disk_errors, write_atomically
from .checksums import DIGITS, checksum
from .json_files import CHECKSUM, Json
from .location import Place
from .regular import content_of

if TYPE_CHECKING:
    from torch import Tensor

_EMPTY = "0" * DIGITS
"""Stands for the checksum while the checksum is computed."""

_MARK = json.dumps(f'{{"{CHECKSUM}": "')[1:-1].encode()
"""The beginning of the metadata, as it is escaped in the header."""

_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, a little-endian 64-bit number."""


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

    # one entry: safetensors writes several entries in random order
    metadata = {"zobench": json.dumps({CHECKSUM: _EMPTY, "notes": notes or {}}, sort_keys=True)}
    contiguous = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = bytearray(save(contiguous, metadata))
    start = _checksum_start(content)
    content[start : start + DIGITS] = checksum(content).encode()
    write_atomically(place, content, durable=durable)


def read_tensors(place: Place) -> tuple[dict[str, Tensor], Json]:
    """Reads the tensors by name and the notes that :func:`write_tensors` wrote.

    Raises:
        DamagedError: The content is not what was written.
        StoreError: The file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    with disk_errors(place):
        content = bytearray(content_of(place))
    header = _require_checksum(place, content)
    try:
        notes = json.loads(json.loads(header)["__metadata__"]["zobench"])["notes"]
        return load(bytes(content)), notes
    except (SafetensorError, *CONTENT_ERRORS) as error:
        raise damaged(place, error) from error


def _require_checksum(place: Place, content: bytearray) -> bytes:
    """The header of a file whose checksum holds; the content is left without the checksum."""
    start = _checksum_start(content)
    stored = bytes(content[start : start + DIGITS])
    content[start : start + DIGITS] = _EMPTY.encode()
    if start < 0 or checksum(content).encode() != stored:
        raise damaged(place, "its content does not match its checksum")
    return bytes(content[_LENGTH_BYTES : _LENGTH_BYTES + _header_bytes(content)])


def _checksum_start(content: bytearray) -> int:
    """Where the digits of the checksum begin in the header; negative if it has none."""
    place = content.find(_MARK, 0, _LENGTH_BYTES + _header_bytes(content))
    return place + len(_MARK) if place >= 0 else -DIGITS


def _header_bytes(content: bytearray) -> int:
    return int.from_bytes(content[:_LENGTH_BYTES], "little")
