"""Open Inference Protocol v2 (Triton, KServe, MLServer, ``zobench serve``): pixels as exact floats."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import orjson

from zobench.errors import ConfigError
from zobench.serving import oip
from zobench.serving.bounded_json import parse

from .exchange import Call, ServiceReply
from .request_failure import RequestFailure
from .service import Floats, ServiceProperties, as_embeddings

if TYPE_CHECKING:
    from torch import Tensor

Wire = Literal["binary", "json"]
WIRES: tuple[Wire, ...] = ("binary", "json")
"""The wires in the order in which ``auto`` tries them."""
USUAL_CHUNK = 32
MAX_CHANNELS, MAX_SIDE = 16, 4096
"""Largest images that are sent, whatever a service says of itself."""
MAX_DIGEST_CHARACTERS = 200
JSON_BYTES = 13
"""Size in bytes of a 32-bit float in JSON, with its comma."""


@dataclass(frozen=True)
class Metadata:
    """The metadata of a model, from ``GET /v2/models/{model}``.

    Attributes:
        input: Name of the input tensor.
        output: Name of the output tensor; empty if the reply does not name it.
        shape: Shape ``(C, H, W)`` of an image.
        digest: Identifies the model, from all details in the reply.
        chunk: Preferred number of images per request; 0 if the reply does not say.
        most: Largest number of images per request.
        bytes: Largest size of a request body in bytes; 0 if the reply does not say.
        bits: 8 if the model rounds pixels to 8 bits, else 32.
    """

    input: str
    output: str
    shape: tuple[int, int, int]
    digest: str
    chunk: int
    most: int
    bytes: int
    bits: int


def read_metadata(url: str, reply: ServiceReply, size: int, channels: int) -> Metadata:
    """The metadata in a model's reply.

    Args:
        url: Address of the model.
        reply: Reply to ``GET`` of this address.
        size: Image side in pixels, used if the model leaves it open.
        channels: Number of channels, used if the model leaves it open.

    Raises:
        ConfigError: The model does not take one image tensor and return one output tensor.
        RequestFailure: The model takes larger images than are ever sent.
    """
    try:
        told: Any = parse(reply.body)
        (entry,) = told["inputs"]
        shape = [int(side) for side in entry["shape"]][-3:]
        outputs, parameters = told.get("outputs") or [], told.get("parameters") or {}
        if len(entry["shape"]) != 4 or entry["datatype"] != "FP32" or len(outputs) > 1:
            raise ValueError(f"input {entry!r:.20000}, outputs {outputs!r:.20000}")
        image_shape = (
            shape[0] if shape[0] > 0 else channels,
            *(n if n > 0 else size for n in shape[1:]),
        )
        if image_shape[0] > MAX_CHANNELS or max(image_shape[1:]) > MAX_SIDE:
            raise RequestFailure(
                "refused",
                f"the service says that its images have shape {image_shape}; at most {MAX_CHANNELS} "
                f"channels and {MAX_SIDE} pixels a side are sent",
            )
        marks = [told.get("name"), told.get("versions"), told.get("platform")]
        digest = (
            parameters.get("digest")
            or hashlib.blake2b(orjson.dumps(marks), digest_size=8).hexdigest()
        )
        return Metadata(
            input=str(entry["name"]),
            output=str(outputs[0]["name"]) if outputs else "",
            shape=(image_shape[0], image_shape[1], image_shape[2]),
            digest=str(digest)[:MAX_DIGEST_CHARACTERS],
            chunk=int(parameters.get("block", 0)),
            most=int(parameters.get("max_images", 2**31)),
            bytes=int(parameters.get("max_body", 0)),
            bits=int(parameters.get("bits", 32)),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{url} does not describe a model with one FP32 input [N, C, H, W] and one output: "
            f"{error!r:.20000}"
        ) from error


class InferenceService:
    """A model behind the Open Inference Protocol; requests and replies hold tensors."""

    def __init__(self, url: str, metadata: Metadata, wire: Wire, chunk: int) -> None:
        """Uses the given wire; ``connecting`` finds the one that a server supports by trying.

        Args:
            url: Address of the model.
            metadata: Metadata of the model.
            wire: ``binary`` for raw bytes behind the JSON part, or ``json``.
            chunk: Number of images per request; 0 takes the model's preferred number.
        """
        self._url, self._metadata, self._wire = url, metadata, wire
        eight = metadata.bits == 8
        self.properties = ServiceProperties(
            image_shape=metadata.shape,
            exact_floats=not eight,
            chunk=max(1, min(chunk or metadata.chunk or USUAL_CHUNK, self._images_per_request())),
            digest=metadata.digest,
            settings={"wire": wire, **({"bits": 8} if eight else {})},
        )

    def _images_per_request(self) -> int:
        """The number of images that the model takes, and that fit into a request body."""
        image_bytes = prod(self._metadata.shape) * (4 if self._wire == "binary" else JSON_BYTES)
        fitting = (self._metadata.bytes - 4096) // image_bytes if self._metadata.bytes else 2**31
        return min(fitting, self._metadata.most)

    def call(self, images: Tensor) -> Call:
        """An inference request; a single channel is repeated if the model takes more."""
        wanted = self.properties.image_shape
        pixels = images.expand(-1, wanted[0], -1, -1).numpy()
        binary = self._wire == "binary"
        fields: dict[str, Any] = {}
        if self._metadata.output:
            parameters = {"parameters": {"binary_data": True}} if binary else {}
            fields["outputs"] = [{"name": self._metadata.output, **parameters}]
        elif binary:
            fields["parameters"] = {"binary_data_output": True}
        body, headers = oip.write_tensor(
            "inputs", self._metadata.input, pixels, binary=binary, fields=fields
        )
        return Call(f"{self._url}/infer", body, headers)

    def read(self, reply: ServiceReply, images: int) -> Floats:
        """The single output tensor of a reply, in JSON or in raw bytes."""
        try:
            _, tensors = oip.read_tensors("outputs", reply.body, reply.headers.get(oip.HEADER))
        except oip.WireError as error:
            raise RequestFailure("doubtful", f"the answer cannot be read: {error}") from error
        if len(tensors) != 1:
            raise RequestFailure(
                "doubtful", f"{len(tensors)} output tensors came; one was expected"
            )
        (values,) = tensors.values()
        if values.ndim == 0:
            raise RequestFailure("doubtful", "a single number came instead of embeddings")
        return as_embeddings(values, images)
