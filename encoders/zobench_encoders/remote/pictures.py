"""Services that take 8-bit PNG files as base64 in JSON; a template describes the request."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from zobench.problem.quantization import pixels
from zobench.serving.bounded_json import parse

from .exchange import Call, ServiceReply
from .request_failure import RequestFailure, UnexpectedShape
from .service import Floats, ServiceProperties, as_embeddings

if TYPE_CHECKING:
    from torch import Tensor

Template = Any
"""JSON in which ``"$images"`` stands for the list of items; ``$uri`` and ``$base64``, in texts of an
item, for the picture, and ``$model``, in any text, for the model's name."""

IMAGES = "$images"
WORDS = re.compile(r"\$[A-Za-z_]\w*")
"""What a template may hold in its texts to be filled in."""


@dataclass(frozen=True)
class Dialect:
    """The request template of a service, and the path of the embeddings in its answer.

    Attributes:
        request: Template of the body.
        item: Template of the entry for one image.
        answer: Path to the embeddings: keys joined by dots, ``[]`` after the one that is a list of
            entries, e.g. ``data[].embedding``; empty if the answer itself is the list.
        path: The end of the service's address; added to an address that lacks it.
        url: Address of a service that has one fixed address.
        chunk: Number of images per request.
        bytes: Largest size of a request body in bytes; 0 if it is unknown.
        key_env: Environment variable with the key.
        key_needed: Whether the service refuses requests without a key.
        header: Name of the HTTP header that holds the key.
        scheme: Text before the key in this header.
        failures_are_400: Whether the service answers every failure with 400, so that a retry may
            succeed after a 400.
        headers: Further HTTP headers of every request.
    """

    request: Template
    item: Template
    answer: str
    path: str = ""
    url: str = ""
    chunk: int = 1
    bytes: int = 0
    key_env: str = "ZOBENCH_API_KEY"
    key_needed: bool = False
    header: str = "Authorization"
    scheme: str = "Bearer "
    failures_are_400: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class PictureService:
    """A service that receives PNG files; every pixel is rounded to 8 bits."""

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        model: str,
        image_shape: tuple[int, int, int],
        *,
        chunk: int = 0,
        compression: int = 1,
    ) -> None:
        """Sends no request.

        Args:
            url: Address of the service, with or without the dialect's path.
            dialect: The form of its requests and answers.
            model: Name of the model in the service.
            image_shape: ``(C, H, W)`` of the pictures: grey or RGB.
            chunk: Number of images per request; 0 takes the dialect's number.
            compression: PNG compression level, from 0 (fast, large) to 9 (slow, small).
        """
        self._url = url if url.endswith(dialect.path) else url + dialect.path
        self._dialect, self._model, self._compression = dialect, model, compression
        most = dialect.bytes // (prod(image_shape) * 4 // 3 + 2000) if dialect.bytes else 2**31
        # without a model's name, only the address tells one model from another
        named = model or self._url.partition("://")[2]
        marks = [named, dialect.request, dialect.item, dialect.answer]
        self.properties = ServiceProperties(
            image_shape=image_shape,
            exact_floats=False,
            chunk=max(1, min(chunk or dialect.chunk, most)),
            digest=hashlib.blake2b(orjson.dumps(marks), digest_size=8).hexdigest(),
            settings={"bits": 8},
        )

    def call(self, images: Tensor) -> Call:
        """A request with one PNG file per image."""
        channels = self.properties.image_shape[0]
        items = [self._item(image) for image in pixels(images.expand(-1, channels, -1, -1))]
        body = orjson.dumps(_filled(self._dialect.request, {IMAGES: items, "$model": self._model}))
        return Call(self._url, body, {"Content-Type": "application/json", **self._dialect.headers})

    def read(self, reply: ServiceReply, images: int) -> Floats:
        """The embeddings at the dialect's path; lists of numbers, or base64 of 32-bit floats."""
        try:
            answer = parse(reply.body)
        except ValueError as error:
            raise RequestFailure("doubtful", f"the answer is no JSON: {error}") from error
        embeddings = [_numbers(entry) for entry in _entries(answer, self._dialect.answer)]
        if len({embedding.size for embedding in embeddings}) > 1:
            raise RequestFailure("doubtful", "the embeddings that came have different lengths")
        if len(embeddings) != images:
            raise RequestFailure(
                "doubtful", f"{len(embeddings)} embeddings came for {images} images"
            )
        return as_embeddings(np.stack(embeddings), images)

    def _item(self, image: NDArray[np.uint8]) -> Any:
        from PIL import Image

        grey = len(image) == 1
        picture = Image.fromarray(
            image[0] if grey else np.ascontiguousarray(image.transpose(1, 2, 0))
        )
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=self._compression)
        coded = base64.b64encode(file.getvalue()).decode()
        values = {"$base64": coded, "$uri": f"data:image/png;base64,{coded}"}
        return _filled(self._dialect.item, {**values, "$model": self._model})


def texts(template: Template) -> list[str]:
    """All texts of a template that may be filled in."""
    if isinstance(template, str):
        return [template]
    if isinstance(template, Mapping | list):
        inside = template.values() if isinstance(template, Mapping) else template
        return [text for entry in inside for text in texts(entry)]
    return []


def _filled(template: Template, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        if template in values:
            return values[template]
        return WORDS.sub(lambda word: str(values.get(word[0], word[0])), template)
    if isinstance(template, Mapping):
        return {name: _filled(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(part, values) for part in template]
    return template


def _entries(answer: Any, path: str) -> list[Any]:
    """The entries at a path, one per image, sorted by ``index``, from 0 or 1 on, if they have one.

    Raises:
        RequestFailure: There is no list at the path, or an entry holds an error instead.
    """
    before, _, after = path.partition("[]")
    entries = _at(answer, before)
    if not isinstance(entries, list):
        raise UnexpectedShape(f"the answer has no list at {before!r}: {answer!r:.20000}")
    if not after:
        return entries
    for number, entry in enumerate(entries):
        if isinstance(entry, Mapping) and entry.get("error"):
            raise RequestFailure(
                "doubtful", f"image {number} of a request was refused: {entry['error']!r:.20000}"
            )
    numbers = [entry.get("index") for entry in entries if isinstance(entry, Mapping)]
    if any(number is not None for number in numbers):
        counted = [sorted(range(first, first + len(entries)), key=str) for first in (0, 1)]
        if sorted(numbers, key=str) not in counted:
            raise RequestFailure("doubtful", f"the embeddings are numbered {numbers!r:.20000}")
        entries = sorted(entries, key=lambda entry: entry["index"])
    return [_at(entry, after.removeprefix(".")) for entry in entries]


def _at(value: Any, path: str) -> Any:
    for key in filter(None, path.split(".")):
        if not isinstance(value, Mapping) or key not in value:
            there = f"the keys {', '.join(map(repr, value))}" if isinstance(value, Mapping) else ""
            raise UnexpectedShape(
                f"the answer has no {key!r} (of {path!r}); there {'are' if there else 'is'} "
                f"{there or f'{value!r:.20000}'}"
            )
        value = value[key]
    return value


def _numbers(value: Any) -> Floats:
    """An embedding as a flat float32 array, from nested lists of numbers or from base64."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "fiu":
            raise ValueError("they are no numbers")
        with np.errstate(over="ignore"):
            return numbers.astype(np.float32).reshape(-1)
    except (binascii.Error, ValueError) as error:
        raise RequestFailure("doubtful", f"an embedding cannot be read: {error}") from error
