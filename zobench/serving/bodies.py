"""Reads request bodies and checks sizes first, then shapes, then numbers."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from zobench.contracts.encoder import EncoderSpec

from . import oip
from .bounded_json import parse

if TYPE_CHECKING:
    from torch import Tensor

INPUT = "images"
"""Name of the tensor of images."""
PICTURES = ("PNG", "JPEG")
MAX_CONTAINERS = 1_000
"""Most lists and objects in a request with pictures, whose input is one list of texts."""
VALUES_PER_IMAGE = 4
"""Most commas for each picture: one in its data URI and one after it, and as many to spare."""
PNG_DEPTH = 24
"""Place of the bit depth in a PNG file."""
MODES = {"L": 1, "RGB": 3}


class Refused(Exception):
    """A request that is not served.

    Attributes:
        status: The HTTP status of the answer.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def read_floats(
    body: bytes, length: str | None, spec: EncoderSpec, most: int
) -> tuple[dict[str, Any], Tensor]:
    """The JSON part of an inference request, and its images ``(N, C, H, W)``.

    Raises:
        Refused: The body is not an inference request, or its images do not fit the encoder.
    """
    import torch

    try:
        message, tensors = oip.read_tensors("inputs", body, length)
    except oip.WireError as error:
        raise Refused(400, str(error)) from error
    if list(tensors) != [INPUT]:
        came = ", ".join(tensors) or "none"
        raise Refused(400, f"inputs came: {came:.80}; the model takes one, {INPUT!r}")
    images = tensors[INPUT]
    channels, height, width = spec.image_shape
    if (
        images.ndim != 4
        or images.shape[2:] != (height, width)
        or images.shape[1] not in (1, channels)
    ):
        raise Refused(
            400,
            f"the images have shape {list(images.shape)}; the model takes "
            f"[N, {channels}, {height}, {width}] (or one channel)",
        )
    _check_count(len(images), most)
    if not np.isfinite(images).all():
        raise Refused(400, "the images hold NaN or infinity")
    with warnings.catch_warnings():  # torch warns about a read-only buffer
        warnings.simplefilter("ignore", UserWarning)
        return message, torch.from_numpy(images).expand(-1, channels, -1, -1)


def read_pictures(body: bytes, spec: EncoderSpec, most: int) -> tuple[dict[str, Any], Tensor]:
    """The fields of an embeddings request in OpenAI's shape, and its images ``(N, C, H, W)``.

    Raises:
        Refused: The body is not such a request, or its pictures do not fit the encoder.
    """
    import torch

    try:
        fields = parse(body, containers=MAX_CONTAINERS, values=VALUES_PER_IMAGE * (most + 100))
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Refused(400, "the body is no JSON object")
    given = fields.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(part, str) for part in texts):
        raise Refused(400, "input must be a data URI of a picture, or a list of them")
    _check_count(len(texts), most)
    pictures = [_picture(text, number, spec) for number, text in enumerate(texts)]
    return fields, torch.from_numpy(np.stack(pictures)).float() / 255


def _check_count(images: int, most: int) -> None:
    if not 1 <= images <= most:
        raise Refused(400, f"{images} images came; a request may bring 1 to {most}")


def _unfitting(number: int, size: tuple[int, int], wanted: tuple[int, int]) -> Refused:
    given, taken = (f"{width}x{height}" for width, height in (size, wanted))
    return Refused(400, f"picture {number} has {given} pixels; the model takes {taken}")


def _picture(text: str, number: int, spec: EncoderSpec) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels ``(C, H, W)`` of a data URI."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = spec.image_shape
    start, comma, coded = text.partition(",")
    if not (comma and start.startswith("data:image/") and start.endswith(";base64")):
        raise Refused(400, f"input {number} is no data URI: data:image/png;base64,...")
    try:
        content = base64.b64decode(coded, validate=True)
        with Image.open(io.BytesIO(content), formats=PICTURES) as file:
            if sorted(file.size) != sorted((width, height)):  # before a pixel is decoded
                raise _unfitting(number, file.size, (width, height))
            if getattr(file, "n_frames", 1) > 1:
                raise Refused(400, f"picture {number} has several frames; the model takes one")
            if "transparency" in file.info:
                raise Refused(
                    400, f"picture {number} has a transparent colour; the model takes opaque pixels"
                )
            if file.mode not in MODES or MODES[file.mode] not in (1, channels):
                raise Refused(
                    400,
                    f"picture {number} has mode {file.mode}; the model takes 8-bit grey"
                    + (" or RGB" if channels == 3 else ""),
                )
            if file.format == "PNG" and content[PNG_DEPTH] > 8:  # Pillow would cut them
                raise Refused(
                    400, f"picture {number} has {content[PNG_DEPTH]} bits; the model takes 8"
                )
            ImageOps.exif_transpose(file, in_place=True)  # upright, as datasets read pictures
            if file.size != (width, height):
                raise _unfitting(number, file.size, (width, height))
            pixels = np.asarray(file)
    except Refused:
        raise
    except UnidentifiedImageError as error:
        raise Refused(
            400, f"picture {number} cannot be read: it is neither PNG nor JPEG"
        ) from error
    except Exception as error:  # Pillow passes on any error of its decoders
        raise Refused(400, f"picture {number} cannot be read: {error}") from error
    if pixels.ndim == 2:
        return np.broadcast_to(pixels, (channels, height, width))
    return pixels.transpose(2, 0, 1)
