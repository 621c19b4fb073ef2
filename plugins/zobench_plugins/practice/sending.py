"""Pictures exactly as an encoder is sent them: one size, the edit added, perhaps 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.errors import DatasetError
from zobench.files.atomic import replaced
from zobench.files.location import Location
from zobench.records.stored_run import StoredRun

from ..datasets.pictures.decoding import PictureForm, load_picture
from ..datasets.pictures.levels import UnfittingPicture, Window, parsed_window

if TYPE_CHECKING:
    from torch import Tensor


def window_of(run: StoredRun) -> Window | None:
    """The values that were black and white in the run's dataset; ``None`` if none were named."""
    return parsed_window(str(run.manifest.parameters["dataset"].get("window", "")))


def form_of(run: StoredRun, window: Window | None = None) -> PictureForm:
    """The form in which the run's dataset gave its pictures.

    Raises:
        DatasetError: The run's images were not square.
    """
    channels, height, width = run.manifest.dataset.shape
    if height != width:
        raise DatasetError(
            f"{run.location} has images of {height} x {width} pixels, not square ones"
        )
    return PictureForm(height, channels, window or window_of(run), converts=True)


@contextmanager
def window_as_option() -> Iterator[None]:
    """Names the option ``--window`` in messages that name the parameter of datasets."""
    try:
        yield
    except UnfittingPicture as error:
        words = str(error).replace("--set dataset.window=", "--window ")
        raise UnfittingPicture(words.replace("--set dataset.window", "--window")) from error


def sent(path: Path, where: str, form: PictureForm, edit: Tensor, channels: int) -> Tensor:
    """A picture with an edit ``(1, H, W)``, as float32 ``(channels, H, W)``; not clipped.

    Raises:
        UnfittingPicture: The picture needs a window.
        DatasetError: It cannot be read.
    """
    import torch

    with window_as_option():
        levels = torch.from_numpy(load_picture(path, where, form).copy())
    return (levels.float() / 255.0 + edit).expand(channels, -1, -1)


def write_sent(
    path: Path, out: Path, edit: Tensor, form: PictureForm, channels: int, exact: bool
) -> None:
    """Writes what the encoder is sent for one picture.

    Args:
        path: The picture.
        out: Where it is written.
        edit: The edit ``(1, H, W)``.
        form: The form of the run's pictures.
        channels: Channels that the encoder takes; grey pictures fill all of them.
        exact: Whether the encoder gets exact floats: an array ``(C, H, W)`` in float32 is written then,
            and an 8-bit PNG file otherwise.

    Raises:
        DatasetError: The picture cannot be read.
        StoreError: The file cannot be written.
    """
    from PIL import Image

    from zobench.problem.quantization import pixels

    image = sent(path, str(path), form, edit, channels)
    with replaced(Location.of(out)) as draft:
        if exact:
            with draft.open("wb") as file:
                np.save(file, image.contiguous().numpy(), allow_pickle=False)
        else:
            planes: NDArray[np.uint8] = pixels(image[None])[0]
            made = planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, 2)
            Image.fromarray(np.ascontiguousarray(made)).save(draft, "PNG")
