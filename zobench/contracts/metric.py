"""The contract of a metric: one declaration for all tables, lists, pages, gates and exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from zobench.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

Array = TypeVar("Array", bound="NDArray[Any]")


@dataclass(frozen=True)
class Predictions:
    """The answers of a disease classifier on test images, each array ``(n,)`` and read-only.

    Attributes:
        score: Logit of class 1 minus logit of class 0; a positive score predicts class 1.
        label: Disease y, 0 or 1.
        sensitive: Sensitive attribute a, 0 or 1.
    """

    score: Floats
    label: Labels
    sensitive: Labels

    def __post_init__(self) -> None:
        """Makes the arrays read-only: all metrics share them."""
        for name in ("score", "label", "sensitive"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))


@dataclass(frozen=True)
class GroupCounts:
    """Counts in the cells of (y, a), in each of R weightings of the test images.

    Row 0 is the data itself, where every image counts once; the other rows are resamples. Arrays are
    read-only.

    Attributes:
        images: ``(R, 2, 2)``; ``images[r, y, a]`` is the weight of the images with disease y and
            sensitive attribute a.
        called: ``(R, 2, 2)``; the weight of these images with a predicted disease.
    """

    images: Floats
    called: Floats

    def __post_init__(self) -> None:
        """Makes the arrays read-only: all metrics share them."""
        for name in ("images", "called"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))

    @cached_property
    def rate(self) -> Floats:
        """``P(yhat=1 | y, a)``, ``(R, 2, 2)``."""
        return _read_only(_divided(self.called, self.images))

    @cached_property
    def share(self) -> Floats:
        """``P(yhat=1 | a)``, ``(R, 2)``."""
        return _read_only(_divided(self.called.sum(1), self.images.sum(1)))


ROUNDING = 1e-6
"""How far a value may be beyond its bounds."""

Unit = Literal["percent", "share"]
"""``percent`` is shown with one decimal; ``share``, a fraction of 1, with two or three."""


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric of a run.

    One of ``from_counts`` and ``from_scores`` computes the metric; fairness per query and recovery,
    which the core computes from all snapshots, have neither.

    Attributes:
        name: Key in JSON, exports, gates and margins: small letters and underscores.
        heading: Heading of its column in tables.
        summary: One line for ``zobench list metrics``; a formula where there is one.
        latex: Heading in LaTeX; ``heading`` if empty.
        unit: The unit of the values.
        signed: Whether values are signed (a=1 minus a=0); tables show the absolute value.
        low: Least possible value (of the absolute value, where signed).
        high: Largest possible value.
        higher_is_better: Whether a higher value is better.
        margin: Loss in ``unit`` that a new gate allows; ``None`` if a new gate leaves it out.
        in_tables: Whether tables show the metric; JSON, compare and exports always show it.
        in_narrow_tables: Whether the table of a run shows the metric on a narrow terminal, too.
        from_counts: Computes values ``(R,)`` in ``unit`` from :class:`GroupCounts`, whose row 0 is
            always the data; a metric made of two gaps takes their signs from that row.
        from_counts_in_means: The same for means over seeds and for differences of runs, where what
            is taken from the data would make the resamples vary too little; ``from_counts`` if
            ``None``. The row of the data must have the same (absolute, where signed) value.
        from_scores: Computes values ``(R,)`` in ``unit`` from :class:`Predictions` and weights
            ``(R, n)``, for metrics that counts cannot give.
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
    margin: float | None = None
    in_tables: bool = True
    in_narrow_tables: bool = False
    from_counts: Callable[[GroupCounts], Floats] | None = None
    from_counts_in_means: Callable[[GroupCounts], Floats] | None = None
    from_scores: Callable[[Predictions, Floats], Floats] | None = None

    def digits(self, more: int = 0) -> int:
        """Digits after the point in tables; ``more`` for a table of differences of shares."""
        return 2 + more if self.unit == "share" else 1

    def of_counts(self, counts: GroupCounts, *, in_means: bool = False) -> Floats:
        """Values ``(R,)`` by ``from_counts``, which the metric must have.

        Args:
            counts: The counts, those of the data first.
            in_means: Whether they are for a mean over seeds or a difference of runs.

        Raises:
            PluginError: It does not give one real number within its bounds per resample.
        """
        compute = self.from_counts_in_means if in_means else None
        compute = compute or self.from_counts
        assert compute is not None
        return self._checked(compute(counts), len(counts.called))

    def of_scores(self, predictions: Predictions, weights: Floats) -> Floats:
        """Values ``(R,)`` by ``from_scores``, which the metric must have.

        Raises:
            PluginError: It does not give one real number within its bounds per resample.
        """
        assert self.from_scores is not None
        return self._checked(self.from_scores(predictions, weights), len(weights))

    def _checked(self, values: Floats, count: int) -> Floats:
        import numpy as np

        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise PluginError(
                f"metric {self.name!r} gave values of type {array.dtype}, not real numbers: zobench "
                f"plugin check {self.name}"
            )
        if array.shape != (count,):
            raise PluginError(
                f"metric {self.name!r} gave values of shape {array.shape} for {count:,} resamples, not "
                f"one each: zobench plugin check {self.name}"
            )
        shown = self.shown(array)
        outside = shown[(shown < self.low - ROUNDING) | (shown > self.high + ROUNDING)]
        if len(outside):
            raise PluginError(
                f"metric {self.name!r} gave {outside[0]:g}, but declares low = {self.low:g} and high = "
                f"{self.high:g}: zobench plugin check {self.name}"
            )
        return array

    def shown(self, values: Floats) -> Floats:
        """The values as tables show them: absolute where the metric is signed."""
        return abs(values) if self.signed else values


def _read_only(array: Array) -> Array:
    view: Array = array.view()
    view.setflags(write=False)
    return view


def _divided(above: Floats, below: Floats) -> Floats:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)
