"""One picture file as the pixels that a dataset gives: channels, size and range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .dicom_files import is_dicom, read_dicom
from .levels import Levels, UnfittingPicture, Window
from .pillow_files import read_pillow

GREY, COLOUR = 1, 3


@dataclass(frozen=True)
class PictureForm:
    """The form that every picture of a dataset is brought to.

    Attributes:
        size: Pixels per side.
        channels: 1 for grey, 3 for colour.
        window: The stored values that become black and white; ``None`` for each file's own.
        converts: Whether a picture in colour becomes grey by its luma; otherwise it is refused.
    """

    size: int
    channels: int = GREY
    window: Window | None = None
    converts: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of a picture."""
        return (self.channels, self.size, self.size)

    @property
    def key(self) -> str:
        """The form in words, for the name of a cache; one without ``upright`` holds none turned."""
        ends = "" if self.window is None else f"-{self.window.low!r}-{self.window.high!r}"
        return f"{self.size}x{self.channels}{'-luma' * self.converts}{ends}-upright"


def load_picture(path: Path, where: str, form: PictureForm) -> Levels:
    """A picture ``(C, size, size)``, stretched to a square with Lanczos' filter.

    Args:
        path: A PNG, JPEG, TIFF or DICOM file, or another one that Pillow reads.
        where: The name of the picture in messages.
        form: The form that the picture is brought to.

    Raises:
        ConfigError: A DICOM file needs a package that is not installed.
        DatasetError: The file is missing or damaged, or its form is another one.
    """
    if is_dicom(path):
        levels = read_dicom(path, where, form.window)
    else:
        levels = read_pillow(path, where, form.window)
    if levels.ndim == 3 and form.channels == GREY and not form.converts:
        raise UnfittingPicture(f"{where} has colour; a film must be grey")
    image = Image.fromarray(np.ascontiguousarray(levels))
    if image.mode == "RGB" and form.channels == GREY:
        image = image.convert("L")  # luma, ITU-R BT.601
    resized = np.asarray(image.resize((form.size, form.size), Image.Resampling.LANCZOS))
    planes = resized[None] if resized.ndim == 2 else np.moveaxis(resized, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(planes, form.shape))


def has_colour(path: Path, where: str, window: Window | None) -> bool:
    """Whether a picture has colour.

    Raises:
        ConfigError: A DICOM file needs a package that is not installed.
        DatasetError: The file is missing or damaged.
    """
    read = read_dicom if is_dicom(path) else read_pillow
    return read(path, where, window).ndim == 3
