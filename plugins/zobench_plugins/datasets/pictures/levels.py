"""Grey levels of more than 8 bits: the window that becomes black to white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.parameters import NUMBER, cut
from zobench.errors import ConfigError, DatasetError

Levels = NDArray[np.uint8]


class UnfittingPicture(DatasetError):
    """A whole picture that another setting would let in: it has colour, or more than 8 bits."""


@dataclass(frozen=True)
class Window:
    """The range of stored values that is shown.

    Attributes:
        low: The value that becomes black.
        high: The value that becomes white.
    """

    low: float
    high: float

    def levels(self, values: NDArray[np.number]) -> Levels:
        """8-bit levels of stored values; values outside the window are clipped to its ends.

        Raises:
            ValueError: A value is NaN or infinite.
        """
        if not np.isfinite(values).all():
            raise ValueError("a pixel is NaN or infinite")
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return np.asarray(np.rint(255 * share.clip(0, 1)), dtype=np.uint8)


def parsed_window(text: str, name: str = "dataset.window") -> Window | None:
    """The window in a text ``low,high``; ``None`` for an empty text.

    Raises:
        ConfigError: The text has another form, or ``low`` is not below ``high``.
    """
    if not text:
        return None
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or not all(NUMBER.fullmatch(word) for word in words):
        raise ConfigError(
            f"{name} is {cut(text)}, but must be two pixel values low,high, e.g. 0,4095"
        )
    window = Window(float(words[0]), float(words[1]))
    if not window.low < window.high:
        raise ConfigError(f"{name} is {cut(text)}, but low must be below high")
    return window
