"""Tensors of the Open Inference Protocol (v2): in JSON, or as raw bytes after the JSON part.

Raw bytes are Triton's "binary tensor data" extension: the JSON part comes first, its length is in the
header :data:`HEADER`, and the tensors follow in order, little-endian and row-major. Only that
header shows whether a body has raw bytes; content types are not reliable.

See https://github.com/kserve/open-inference-protocol and Triton's extension_binary_data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from .bounded_json import parse

Side = Literal["inputs", "outputs"]
Json = dict[str, Any]

HEADER = "Inference-Header-Content-Length"
DATATYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
MAX_DIMENSIONS = 8


class WireError(ValueError):
    """A body that breaks the protocol; the message names the fault."""


def write_tensor(
    side: Side,
    name: str,
    tensor: NDArray[np.float32],
    *,
    binary: bool,
    fields: Mapping[str, Any] | None = None,
) -> tuple[bytes, dict[str, str]]:
    """A body with one FP32 tensor, and the headers that belong to it.

    Args:
        side: ``inputs`` of a request or ``outputs`` of an answer.
        name: The name of the tensor.
        tensor: A tensor of any shape.
        binary: Whether the tensor is written as raw bytes after the JSON part.
        fields: Further fields of the JSON part.
    """
    entry: Json = {"name": name, "shape": list(tensor.shape), "datatype": "FP32"}
    values = np.ascontiguousarray(tensor, dtype="<f4")
    if not binary:
        entry["data"] = values.reshape(-1)
        said = orjson.dumps({**(fields or {}), side: [entry]}, option=orjson.OPT_SERIALIZE_NUMPY)
        return said, {"Content-Type": "application/json"}
    entry["parameters"] = {"binary_data_size": values.nbytes}
    said = orjson.dumps({**(fields or {}), side: [entry]})
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(said))}
    return b"".join([said, values.data.cast("B")]), headers


def read_tensors(
    side: Side, body: bytes, length: str | None
) -> tuple[Json, dict[str, NDArray[np.float32]]]:
    """The JSON part of a body, and its tensors by name.

    Args:
        side: ``inputs`` of a request or ``outputs`` of an answer.
        body: The body as received.
        length: Value of the header :data:`HEADER`; ``None`` if it was not there.

    Raises:
        WireError: The body breaks the protocol, or a tensor does not hold floats.
    """
    cut = len(body) if length is None else _length(length, len(body))
    try:
        message = parse(body, cut)
    except ValueError as error:
        raise WireError(f"the JSON part cannot be read: {error}") from error
    entries = message.get(side) if isinstance(message, dict) else None
    if not isinstance(entries, list) or not all(isinstance(tensor, dict) for tensor in entries):
        raise WireError(f"the JSON part has no list of objects {side!r}")
    tensors: dict[str, NDArray[np.float32]] = {}
    rest = memoryview(body)[cut:]
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or name in tensors:
            raise WireError(f"{side} must have names of their own; one is called {name!r}")
        shape, datatype = _shape(entry, name), entry.get("datatype")
        if not isinstance(datatype, str) or datatype not in DATATYPES:
            raise WireError(
                f"tensor {name!r} has datatype {datatype!r:.80}; it must be one of "
                + ", ".join(DATATYPES)
            )
        size = _binary_size(entry)
        if size is None:
            values = _from_json(entry, name, shape)
        else:
            values = _from_bytes(rest[:size], size, DATATYPES[datatype], name)
            rest = rest[size:]
        if values.size != prod(shape):
            raise WireError(
                f"tensor {name!r} has {values.size} numbers; its shape is {list(shape)}"
            )
        try:
            tensors[name] = values.reshape(shape)
        except ValueError as error:  # nothing, of a shape that is too large nevertheless
            raise WireError(f"tensor {name!r} cannot have shape {list(shape)}") from error
    if len(rest):
        raise WireError(f"{len(rest)} bytes follow the last tensor")
    return message, tensors


def _length(text: str, whole: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > whole:
        raise WireError(f"{HEADER} is {text!r}, but the body has {whole} bytes")
    return int(text)


def _shape(entry: Json, name: str) -> tuple[int, ...]:
    shape = entry.get("shape")
    whole = isinstance(shape, list) and all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**31 for size in shape
    )
    if not whole or len(shape) > MAX_DIMENSIONS:  # type: ignore[arg-type]
        raise WireError(
            f"tensor {name!r} has shape {shape!r:.80}; it must be a list of whole numbers"
        )
    return tuple(shape)  # type: ignore[arg-type]


def _binary_size(entry: Json) -> int | None:
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise WireError(f"binary_data_size is {size!r:.80}; it must be a whole number")
    return size


def _from_bytes(raw: memoryview, size: int, type_: str, name: str) -> NDArray[np.float32]:
    if len(raw) != size or size % np.dtype(type_).itemsize:
        raise WireError(f"tensor {name!r} says {size} bytes, but {len(raw)} are left")
    with np.errstate(over="ignore"):  # too large for float32: infinite, refused later
        return np.frombuffer(raw, dtype=type_).astype(np.float32, copy=False)


def _from_json(entry: Json, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The numbers of a list that is flat, or nested as the shape says."""
    data = entry.get("data")
    if not isinstance(data, list):
        raise WireError(f"tensor {name!r} has neither a list 'data' nor a binary_data_size")
    try:
        values = np.asarray(data)
    except ValueError as error:
        raise WireError(f"tensor {name!r} is ragged") from error
    if values.size and values.dtype.kind not in "fiu":
        raise WireError(f"tensor {name!r} holds something other than numbers")
    if values.ndim > 1 and values.shape != shape:
        raise WireError(
            f"tensor {name!r} is nested as {list(values.shape)}, but its shape is {list(shape)}; nest "
            "its numbers as the shape says, or send one flat list"
        )
    with np.errstate(over="ignore"):
        return values.reshape(-1).astype(np.float32)
