"""A figure on which pictures, titles and colour bars have fixed places, in inches.

All of it lies on one axes without ticks. With an axes for each panel, placed by a layout engine, the
ticks of all are made, measured and thrown away, which takes most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Array = NDArray[np.floating]

GAP, BAR, TICK = 0.1, 0.15, 0.05
"""Distance of a title or colour bar from its picture, width of a bar, length of its ticks."""


class Canvas:
    """A white figure; places are counted from its lower left corner.

    Args:
        width: Width in inches.
        height: Height in inches.
        side: Width and height of each picture in inches.
    """

    def __init__(self, width: float, height: float, side: float) -> None:
        self.figure = new_figure(width, height, layout=None)
        self._side = side
        self._axes = self.figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
        self._axes.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)

    def picture(self, array: Array, left: float, bottom: float, **how: Any) -> None:
        """A picture ``(H, W)`` or ``(H, W, 3)``, centred in a square.

        Args:
            array: The picture.
            left: Left edge of the square.
            bottom: Lower edge of the square.
            how: Settings of matplotlib's ``imshow``, such as ``cmap``.
        """
        height, width = (self._side * size / max(array.shape[:2]) for size in array.shape[:2])
        left += (self._side - width) / 2
        bottom += (self._side - height) / 2
        extent = (left, left + width, bottom, bottom + height)
        self._axes.imshow(array, extent=extent, aspect="auto", **how)

    def title(self, words: str, left: float, bottom: float) -> None:
        """A title above the square of a picture."""
        middle = left + self._side / 2
        self._axes.text(middle, bottom + self._side + GAP, words, ha="center", fontsize="large")

    def bar(
        self, left: float, bottom: float, cmap: str, norm: Normalize, ticks: Sequence[float]
    ) -> None:
        """A colour bar to the right of the square of a picture.

        Args:
            left: Left edge of the square.
            bottom: Lower edge of the square.
            cmap: The picture's colours.
            norm: The picture's scale.
            ticks: The numbers that are written beside it.
        """
        length, start = 0.8 * self._side, left + self._side + GAP
        bottom += 0.1 * self._side
        extent = (start, start + BAR, bottom, bottom + length)
        shades = np.linspace(0, 1, 256)[:, None]
        self._axes.imshow(
            shades, extent=extent, aspect="auto", cmap=cmap, vmin=0, vmax=1, origin="lower"
        )
        heights = bottom + length * np.asarray(norm(np.asarray(ticks, dtype=float)))
        end = start + BAR
        self._axes.hlines(heights, end, end + TICK, color="black", linewidth=0.8)
        for height, tick in zip(heights, ticks, strict=True):
            self._axes.text(end + 2 * TICK, height, f"{tick:g}", va="center")


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """A figure of this size in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure
