"""The contract of a metric: one declaration, read by every table, list, page, gate and export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """The answers of a disease classifier on test images, each array ``(n,)``.

    Attributes:
        score: Logit of class 1 minus that of class 0; class 1 is predicted where it is positive.
        label: Disease y, 0 or 1.
        sensitive: Sensitive attribute a, 0 or 1.
    """

    score: Floats
    label: Labels
    sensitive: Labels


@dataclass(frozen=True)
class GroupCounts:
    """Counts in the cells of (y, a), in each of R weightings of the test images.

    Row 0 is the data itself, where every image counts once; the other rows are resamples.

    Attributes:
        images: ``(R, 2, 2)``; ``images[r, y, a]`` is the weight of the images with disease y and
            sensitive attribute a.
        called: ``(R, 2, 2)``; the weight of those for which the disease is predicted.
    """

    images: Floats
    called: Floats

    @cached_property
    def rate(self) -> Floats:
        """``P(yhat=1 | y, a)``, ``(R, 2, 2)``."""
        return _divided(self.called, self.images)

    @cached_property
    def share(self) -> Floats:
        """``P(yhat=1 | a)``, ``(R, 2)``."""
        return _divided(self.called.sum(1), self.images.sum(1))


Unit = Literal["percent", "share"]
"""``percent`` is shown with one digit, ``share`` (1 is all of it) with two or three."""


@dataclass(frozen=True)
class Metric:
    """A number that a run comes to, declared once.

    One of ``from_counts`` and ``from_scores`` computes the metric; fairness per query and recovery,
    which the core computes from all snapshots, have neither.

    Attributes:
        name: Key in JSON, exports, gates and margins: small letters and underscores.
        heading: Heading of its column in tables.
        summary: One line for ``zobench list metrics``; a formula where there is one.
        latex: Heading in LaTeX; ``heading`` if empty.
        unit: What the values are counted in.
        signed: Whether tables show the absolute value of a number with a sign, a=1 minus a=0.
        low: Least possible value (of the absolute value, where signed).
        high: Largest possible value.
        higher_is_better: Which way is better.
        in_tables: Whether tables have a column of it; JSON, compare and exports always have it.
        from_counts: From :class:`GroupCounts` to ``(R,)``, in units of ``unit``.
        from_scores: From :class:`Predictions` and weights ``(R, n)`` to ``(R,)``, for what counts
            cannot tell.
    """

    name: str
    heading: str
    summary: str
    latex: str = ""
    unit: Unit = "percent"
    signed: bool = False
    low: float = 0.0
    high: float = 100.0
    higher_is_better: bool = False
    in_tables: bool = True
    from_counts: Callable[[GroupCounts], Floats] | None = None
    from_scores: Callable[[Predictions, Floats], Floats] | None = None

    @property
    def arrow(self) -> str:
        """An arrow that points to better."""
        return "\N{UPWARDS ARROW}" if self.higher_is_better else "\N{DOWNWARDS ARROW}"

    def digits(self, more: int = 0) -> int:
        """Digits after the point in tables; ``more`` for a table of differences of shares."""
        return 2 + more if self.unit == "share" else 1

    @property
    def bounded(self) -> bool:
        """Whether the values end somewhere above."""
        return self.high < inf


def _divided(above: Floats, below: Floats) -> Floats:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)
