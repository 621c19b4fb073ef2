"""PNG, JPEG, TIFF and other files that Pillow reads, with 8 or 16 bits."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from zobench.errors import DatasetError

from .levels import Levels, Window

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I", "F")
"""Pillow's modes of grey levels with more than 8 bits."""
LOWEST_SAMPLE, HIGHEST_SAMPLE = 280, 281
"""TIFF tags MinSampleValue and MaxSampleValue."""
PNG_START = 8
"""Bytes of a PNG file before its first chunk."""


def read_pillow(path: Path, where: str, window: Window | None) -> Levels:
    """The picture as 8-bit grey ``(H, W)`` or colour ``(H, W, 3)``.

    Levels of more than 8 bits need a window: the given one, or the one that the file names, which is
    all 16 bits for a PNG file with the chunk sBIT, and the sample range of a TIFF file.

    Args:
        path: The file.
        where: The name of the picture in messages.
        window: The values that become black and white, or ``None`` for the file's own.

    Raises:
        DatasetError: The file is missing or damaged, has several pages or transparency, or has more
            than 8 bits and names no window.
    """
    try:
        with Image.open(path) as image:
            pages = int(getattr(image, "n_frames", 1))
            if pages > 1:
                raise DatasetError(f"{where} has {pages} pages; an image file must have one")
            image.load()
            return _levels(image, path, where, window)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{where} is not a readable image: {error}") from error
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{where} has too many pixels: {error}") from error


def _levels(image: Image.Image, path: Path, where: str, window: Window | None) -> Levels:
    if image.mode in SIXTEEN_BITS:
        chosen = window or _declared(image, path)
        if chosen is None:
            raise DatasetError(
                f"{where} has more than 8 bits and does not say which values are black and white (PNG: "
                "chunk sBIT, TIFF: MinSampleValue and MaxSampleValue); give them with --set "
                "dataset.window=LOW,HIGH, or convert it: a rescaling by guess would change what the "
                "encoder sees"
            )
        return chosen.levels(np.asarray(image))
    if image.mode in ("1", "P", "CMYK", "YCbCr"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    values = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        if not bool((values[..., -1] == 255).all()):
            raise DatasetError(f"{where} has transparent pixels; an image must be opaque")
        values = values[..., :-1].squeeze()
    if values.dtype != np.uint8 or not (values.ndim == 2 or values.shape[2:] == (3,)):
        raise DatasetError(f"{where} has pixel mode {image.mode}; an image must be grey or RGB")
    grey = values.ndim == 3 and bool((values == values[..., :1]).all())
    return values[..., 0] if grey else values


def _declared(image: Image.Image, path: Path) -> Window | None:
    """The window that the file itself names."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        low, high = tags.get(LOWEST_SAMPLE), tags.get(HIGHEST_SAMPLE)
        if high is None:
            return None
        ends = [float(np.ravel(each)[0]) for each in (0 if low is None else low, high)]
        return Window(*ends) if ends[0] < ends[1] else None
    scaled = image.format == "PNG" and _has_significant_bits(path)
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
