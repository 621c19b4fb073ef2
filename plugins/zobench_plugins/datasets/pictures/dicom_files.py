"""DICOM files: stored values, rescaled, windowed, and inverted where white means little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.errors import ConfigError, DatasetError, ZobenchError

from .levels import Levels, UnfittingPicture, Window

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".dicom")
MARK, MARK_AT = b"DICM", 128


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM file, by its name or by its mark."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(MARK_AT + len(MARK))[MARK_AT:] == MARK
    except OSError:
        return False


def read_dicom(path: Path, where: str, window: Window | None) -> Levels:
    """The picture as 8-bit grey ``(H, W)`` or colour ``(H, W, 3)``.

    Grey values go through the modality transformation (rescale slope and intercept, or its table),
    then through the window: the given one, else the file's first window or table of values of
    interest, else the whole range of its stored bits if these are 8. MONOCHROME1 is inverted (DICOM
    PS3.3, C.7.6.3 and C.11).

    Args:
        path: The file.
        where: The name of the picture in messages.
        window: The values, after the modality transformation, that become black and white.

    Raises:
        ConfigError: The package pydicom is not installed.
        UnfittingPicture: The file has more than 8 bits and no window.
        DatasetError: The file cannot be read or decoded, or holds no single image.
    """
    header, values = open_dicom(path, where)
    with readable(where):
        return _levels(header, values, where, window)


def open_dicom(path: Path, where: str) -> tuple[Dataset, NDArray[np.number]]:
    """The header and the stored values of the one image in a file.

    Raises:
        ConfigError: The package pydicom is not installed.
        DatasetError: The file cannot be read or decoded, or holds no single image.
    """
    try:
        from pydicom import dcmread
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{where} is a DICOM file, which needs the package {error.name}: python -m pip install "
            "'zobench[dicom]'"
        ) from error
    with readable(where):
        header = dcmread(path)
        if "PixelData" not in header:
            raise DatasetError(f"{where} is a DICOM file without an image")
        frames = int(header.get("NumberOfFrames") or 1)
        if frames > 1:
            raise DatasetError(f"{where} has {frames} frames; an image file must have one")
        return header, header.pixel_array


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turns whatever pydicom and its decoders raise for a damaged file into a ``DatasetError``."""
    try:
        yield
    except ZobenchError:
        raise
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise DatasetError(f"{where} is not a readable DICOM image: {words}") from error


def linear_window(header: Dataset, where: str, window: Window | None) -> Window:
    """The values, after the modality transformation, that are black and white in a grey image.

    Args:
        header: The file.
        where: The name of the picture in messages.
        window: The values; ``None`` for the file's own.

    Raises:
        DatasetError: The file's values go through a table, or a window that is no straight line, or
            more than 8 bits have no window.
    """
    if header.get("ModalityLUTSequence") or (not window and header.get("VOILUTSequence")):
        raise DatasetError(
            f"{where} shows its values through a table, so an edit cannot be added to them"
        )
    if window is not None:
        return window
    if header.get("WindowWidth") is None or header.get("WindowCenter") is None:
        if int(header.BitsStored) > 8:
            raise UnfittingPicture(
                f"{where} has {header.BitsStored} bits and no window; give one with --window LOW,HIGH"
            )
        return _stored_range(header)
    centre, width = (
        float(np.ravel(header[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    function = str(header.get("VOILUTFunction") or "LINEAR")
    if function == "LINEAR_EXACT":
        return Window(centre - width / 2, centre + width / 2)
    if function == "LINEAR" and width > 1:
        return Window(centre - width / 2, centre - 1 + width / 2)
    raise DatasetError(f"{where} has a window of function {function}, which is no straight line")


def _levels(
    header: Dataset, values: NDArray[np.number], where: str, window: Window | None
) -> Levels:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    kind = str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, header)
        return _full_range(values, 8 * values.dtype.itemsize)
    if values.ndim == 3:
        return _full_range(values, int(header.BitsStored))
    rescaled = apply_modality_lut(values, header)
    levels = window.levels(rescaled) if window else _of_interest(header, rescaled, where)
    return 255 - levels if kind == "MONOCHROME1" else levels


def _of_interest(header: Dataset, rescaled: NDArray[np.number], where: str) -> Levels:
    """Levels through the file's own table or window of values of interest."""
    from pydicom.pixels import apply_voi

    if header.get("VOILUTSequence"):
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        return _full_range(apply_voi(rescaled, header), bits)
    if header.get("WindowWidth") is not None and header.get("WindowCenter") is not None:
        centre, width = (
            float(np.ravel(header[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
        )
        return windowed(rescaled, centre, width, str(header.get("VOILUTFunction") or "LINEAR"))
    if int(header.BitsStored) > 8 and not header.get("ModalityLUTSequence"):
        raise UnfittingPicture(
            f"{where} has {header.BitsStored} bits and no window; its values go from "
            f"{rescaled.min():g} to {rescaled.max():g}: say which are black and white, with --set "
            "dataset.window=LOW,HIGH"
        )
    return _stored_range(header).levels(rescaled)


def windowed(values: NDArray[np.number], centre: float, width: float, function: str) -> Levels:
    """Levels of a window, by the functions of DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.

    Raises:
        ValueError: The width or the function is none of the standard's.
    """
    least = 1.0 if function == "LINEAR" else np.finfo(float).tiny
    if width < least:
        raise ValueError(f"WindowWidth is {width:g}")
    if function == "SIGMOID":
        share = 1.0 / (1.0 + np.exp(-4.0 * (values.astype(np.float64) - centre) / width))
        return np.asarray(np.rint(255 * share), dtype=np.uint8)
    if function == "LINEAR_EXACT":
        return Window(centre - width / 2, centre + width / 2).levels(values)
    if function != "LINEAR":
        raise ValueError(f"VOILUTFunction is {function!r}")
    low = centre - 0.5 - (width - 1) / 2
    if width == 1:
        return np.asarray(np.where(values <= low, 0, 255), dtype=np.uint8)
    return Window(low, low + width - 1).levels(values)


def _stored_range(header: Dataset) -> Window:
    """The range of the stored bits after the modality transformation."""
    if header.get("ModalityLUTSequence"):
        return Window(0.0, 2.0 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    bits, signed = int(header.BitsStored), int(header.PixelRepresentation) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = (float(header.get(name) or default) for name, default in RESCALE)
    ends = sorted((slope * low + intercept, slope * high + intercept))
    return Window(*ends)


RESCALE = (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))


def _full_range(values: NDArray[np.number], bits: int) -> Levels:
    return Window(0.0, 2.0**bits - 1).levels(values) if bits != 8 else values.astype(np.uint8)
