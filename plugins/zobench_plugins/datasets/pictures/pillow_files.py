"""PNG, JPEG, TIFF and other files that Pillow reads, with 8 or 16 bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zobench.errors import DatasetError

from .levels import Levels, UnfittingPicture, Window

FAULTS = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    struct.error,
)
"""What Pillow raises for files that are damaged."""
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I", "F")
"""Pillow's modes of grey levels with more than 8 bits."""
LOWEST_SAMPLE, HIGHEST_SAMPLE = 280, 281
"""TIFF tags MinSampleValue and MaxSampleValue."""
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
SAMPLE_BITS = 258
SAMPLE_FORMAT, UNSIGNED = 339, 1
PNG_DEPTH = 24
"""Place of the bit depth in a PNG file."""
PNG_START = 8
"""Bytes of a PNG file before its first chunk."""


def read_pillow(path: Path, where: str, window: Window | None) -> Levels:
    """The picture as 8-bit grey ``(H, W)`` or colour ``(H, W, 3)``.

    Levels of more than 8 bits need a window: the given one, or the one that the file names, which is
    all 16 bits for a PNG file with the chunk sBIT and for a PGM file, and the sample range of a TIFF
    file.

    Args:
        path: The file.
        where: The name of the picture in messages.
        window: The values that become black and white, or ``None`` for the file's own.

    Raises:
        DatasetError: The file is missing or damaged, has several pages or transparency, or has more
            than 8 bits and names no window.
    """
    with opened(path, where) as image:
        return _levels(image, path, where, window)


@contextmanager
def opened(path: Path, where: str) -> Iterator[Image.Image]:
    """The decoded picture of a file, turned upright where its EXIF data say how.

    Raises:
        DatasetError: The file is missing or damaged, has several pages, or is stored in a way that
            Pillow misreads; also for what Pillow raises inside the block.
    """
    try:
        with Image.open(path) as image:
            pages = int(getattr(image, "n_frames", 1))
            if pages > 1:
                raise DatasetError(f"{where} has {pages} pages; an image file must have one")
            upright = image.size if image.format == "TIFF" else None
            ImageOps.exif_transpose(image, in_place=True)
            if upright not in (None, image.size):  # Pillow 13 garbles uncompressed ones
                raise DatasetError(
                    f"{where} is a TIFF file that is stored sideways, which Pillow misreads; turn it "
                    "upright (mogrify -auto-orient)"
                )
            yield image
    except FAULTS as error:
        raise DatasetError(f"{where} is not a readable image: {error}") from error
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{where} has too many pixels: {error}") from error


def _levels(image: Image.Image, path: Path, where: str, window: Window | None) -> Levels:
    unsigned = image.format == "TIFF" and _tag(image, SAMPLE_FORMAT) in (None, UNSIGNED)
    if image.mode == "I" and unsigned:
        raise DatasetError(f"{where} has 32 bits without a sign; at most 16 can be read")
    if image.mode in SIXTEEN_BITS:
        values, clear = np.asarray(image), image.info.get("transparency")
        if clear is not None and bool((values == clear).any()):
            raise DatasetError(f"{where} has transparent pixels; an image must be opaque")
        if window is not None and _is_scaled(image):
            raise DatasetError(
                f"{where} is a PGM file, which names the value of white itself, so no window can be "
                "given for it; leave the window out, or save the picture as PNG or TIFF"
            )
        chosen = window or declared_window(image, path)
        if chosen is None:
            raise UnfittingPicture(
                f"{where} has more than 8 bits and does not say which values are black and white (PNG: "
                "chunk sBIT, TIFF: MinSampleValue and MaxSampleValue); give them with --set "
                "dataset.window=LOW,HIGH, or convert it: a rescaling by guess would change what the "
                "encoder sees"
            )
        levels = chosen.levels(values)
        return 255 - levels if white_is_zero(image) else levels
    if (bits := stored_bits(image, path)) > 8:
        raise DatasetError(
            f"{where} has {bits} bits in {image.mode}, which would be cut to 8; an image of more than 8 "
            "bits must be grey"
        )
    if "transparency" in image.info:  # a palette's, or one grey level or colour that is not shown
        image = image.convert("RGBA")
    elif image.mode in ("1", "P", "CMYK", "YCbCr"):
        image = image.convert("RGB")
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise DatasetError(f"{where} has transparent pixels; an image must be opaque")
        image = image.convert(image.mode[:-1])
    if image.mode not in ("L", "RGB"):
        raise DatasetError(f"{where} has pixel mode {image.mode}; an image must be grey or RGB")
    values = np.asarray(image)
    grey = values.ndim == 3 and bool((values == values[..., :1]).all())
    return values[..., 0] if grey else values


def white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF file stores white as its lowest value; Pillow inverts 8-bit files itself."""
    return _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO


def _is_scaled(image: Image.Image) -> bool:
    """Whether Pillow has scaled the levels so that the largest is 65,535: those of a PGM file."""
    return image.format == "PPM" and image.mode != "F"  # F: a PFM file, of floats


def _tag(image: Image.Image, number: int) -> float | None:
    """The first value of a TIFF tag; ``None`` in other files."""
    value = image.tag_v2.get(number) if image.format == "TIFF" else None  # type: ignore[attr-defined]
    return None if value is None else float(np.ravel(value)[0])


def stored_bits(image: Image.Image, path: Path) -> int:
    """Bits of a sample in a PNG or TIFF file; Pillow cuts samples of several channels to 8."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(PNG_DEPTH + 1)[PNG_DEPTH]
    return int(_tag(image, SAMPLE_BITS) or 8)


def declared_window(image: Image.Image, path: Path) -> Window | None:
    """The window that the file itself names."""
    if image.format == "TIFF":
        low, high = _tag(image, LOWEST_SAMPLE) or 0.0, _tag(image, HIGHEST_SAMPLE)
        return Window(low, high) if high is not None and low < high else None
    scaled = _is_scaled(image) or (image.format == "PNG" and _has_significant_bits(path))
    return Window(0.0, 65_535.0) if scaled else None


def _has_significant_bits(path: Path) -> bool:
    """Whether a PNG file has the chunk sBIT: its writer scaled the samples to all 16 bits.

    The PNG specification (third edition, 11.3.2.7) has writers do so, and name the number of bits
    before. A file without the chunk often holds 10 or 12 bits as they were, and looks black.
    """
    content = path.read_bytes()
    place = PNG_START
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"sBIT":
            return True
        if kind == b"IDAT":
            return False
        place += 12 + length
    return False
