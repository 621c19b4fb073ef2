"""Adds an edit to picture files at their own size and depth: PNG, TIFF, JPEG and DICOM.

The encoder sees an image that was stretched to a square with Lanczos' filter, plus the edit. Here the
edit is stretched to the picture instead, with a bicubic filter. What the encoder would make of the
result is nearly, not exactly, what it saw in the run; :mod:`.sending` makes exactly that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zobench.errors import DatasetError
from zobench.files.atomic import replaced
from zobench.files.location import Location

from ..datasets.pictures.dicom_files import is_dicom, linear_window, open_dicom, readable
from ..datasets.pictures.levels import UnfittingPicture, Window
from ..datasets.pictures.pillow_files import declared_window, opened, stored_bits, white_is_zero

if TYPE_CHECKING:
    from pydicom import Dataset

Edit = NDArray[np.float32]
"""An edit ``(H, W)``, in the range of a pixel."""
EIGHT, SIXTEEN = ("L", "RGB"), ("I;16", "I;16L", "I;16B")
"""Pillow's modes that can be written."""
HIGHEST = 65_535


def stretched(edit: Edit, height: int, width: int) -> Edit:
    """The edit at another size ``(height, width)``, by a bicubic filter."""
    image = Image.fromarray(np.ascontiguousarray(edit, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def write_edited(path: Path, out: Path, edit: Edit, window: Window | None, where: str) -> float:
    """Writes a picture with the edit, in the picture's own size and depth.

    Pixels outside the range of the file are clipped.

    Args:
        path: The picture.
        out: Where it is written: a TIFF file if it is called so, DICOM if the picture is, else PNG.
        edit: The edit ``(H, W)``.
        window: The stored values that are black and white, for more than 8 bits; ``None`` for the
            file's own.
        where: The name of the picture in messages.

    Returns:
        The share of pixels beyond the window, 0 to 1. The run clipped them before it added the edit;
        here the window clips both.

    Raises:
        ConfigError: A DICOM file needs a package that is not installed.
        DatasetError: The picture cannot be read, or has a form that cannot be written again.
        StoreError: The file cannot be written.
    """
    if is_dicom(path):
        with readable(where):
            return _write_dicom(path, out, edit, window, where)
    form = "TIFF" if out.suffix.lower() in (".tif", ".tiff") else "PNG"
    with opened(path, where) as image:
        made, settings, hidden = _edited(image, path, form, edit, window, where)
    with replaced(Location.of(out)) as draft:
        made.save(draft, form, **settings)
    return hidden


def _beyond(values: NDArray[np.number], window: Window) -> float:
    return float(((values < window.low) | (values > window.high)).mean())


def _edited(
    image: Image.Image, path: Path, form: str, edit: Edit, window: Window | None, where: str
) -> tuple[Image.Image, dict[str, Any], float]:
    """A picture with the edit, what Pillow must be told to save it, and the share beyond the window."""
    hidden = 0.0
    kept: dict[str, Any] = {
        name: image.info[name] for name in ("dpi", "icc_profile") if name in image.info
    }
    if "transparency" in image.info:
        raise DatasetError(f"{where} has transparent pixels, which would be lost")
    if image.mode in SIXTEEN:
        chosen = window or declared_window(image, path)
        if chosen is None:
            raise UnfittingPicture(
                f"{where} has more than 8 bits and does not say which values are black and white; give "
                "them with --window LOW,HIGH"
            )
        values = np.asarray(image).astype(np.float64)
        if white_is_zero(image):  # written with black as zero
            values = chosen.low + chosen.high - values
        hidden = _beyond(values, chosen)
        added = values + stretched(edit, *values.shape) * (chosen.high - chosen.low)
        made = Image.fromarray(np.rint(added.clip(0, HIGHEST)).astype(np.uint16))
        if form == "PNG":
            kept |= _scaled_png(chosen)
        elif 0 <= chosen.low < chosen.high <= HIGHEST:  # what the tags can hold
            kept["tiffinfo"] = {280: round(chosen.low), 281: round(chosen.high)}
    elif image.mode in EIGHT:
        if (bits := stored_bits(image, path)) > 8:
            raise DatasetError(f"{where} has {bits} bits in colour, which would be lost")
        values = np.asarray(image).astype(np.float64)
        more = 255 * stretched(edit, *values.shape[:2])
        added = values + (more if values.ndim == 2 else more[..., None])
        made = Image.fromarray(np.rint(added.clip(0, 255)).astype(np.uint8))
    else:
        raise DatasetError(
            f"{where} has pixel mode {image.mode}; grey and RGB can be written, so convert it first, or "
            "write what the encoder is sent: --as-sent"
        )
    return made, kept, hidden


def _scaled_png(window: Window) -> dict[str, Any]:
    """The chunk sBIT for a file whose samples use all 16 bits, so that it is read alike again."""
    from PIL.PngImagePlugin import PngInfo

    if (window.low, window.high) != (0.0, 65_535.0):
        return {}
    chunks = PngInfo()
    chunks.add(b"sBIT", bytes([16]))
    return {"pnginfo": chunks}


def _write_dicom(path: Path, out: Path, edit: Edit, window: Window | None, where: str) -> float:
    """A derived image with a UID of its own (DICOM PS3.3, C.7.6.1.1.2), without compression."""
    header, values = open_dicom(path, where)
    kind = str(header.PhotometricInterpretation)
    bits, signed = int(header.BitsStored), int(header.PixelRepresentation) == 1
    if kind not in ("MONOCHROME1", "MONOCHROME2") and (kind, bits) != ("RGB", 8):
        raise DatasetError(
            f"{where} has {kind} with {bits} bits; grey and 8-bit RGB can be written"
        )
    hidden = 0.0
    if values.ndim == 3:
        step: Any = 255 * stretched(edit, *values.shape[:2])[..., None]
    else:
        chosen = linear_window(header, where, window)
        slope = float(header.get("RescaleSlope") or 1.0)
        rescaled = values * slope + float(header.get("RescaleIntercept") or 0.0)
        hidden = _beyond(rescaled, chosen)
        sign = -1.0 if kind == "MONOCHROME1" else 1.0
        size = sign * (chosen.high - chosen.low) / slope
        step = stretched(edit, *values.shape) * size
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    added = np.rint((values + step).clip(low, high)).astype(values.dtype)
    header.set_pixel_data(added, kind, bits)
    _derive(header)
    with replaced(Location.of(out)) as draft:
        header.save_as(draft, enforce_file_format=True)
    return hidden


def _derive(header: Dataset) -> None:
    kind = list(header.get("ImageType") or ["ORIGINAL", "PRIMARY"])
    header.ImageType = ["DERIVED", *kind[1:]]
    header.DerivationDescription = "a shared additive edit found by zobench was added"
