"""Numbers of the page: rounded, and ``None`` for a number that JSON does not know."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from zobench.measures.interval import Interval

Json = dict[str, Any]
DIGITS = 5


def interval(found: Interval) -> Json:
    """A value between its limits."""
    return {"value": finite(found.value), "low": finite(found.low), "high": finite(found.high)}


def finite(value: float) -> float | None:
    """A number, unless it is infinite or none at all."""
    return round(value, DIGITS) if math.isfinite(value) else None


def rounded(values: Iterable[float]) -> list[float | None]:
    """:func:`finite` of each."""
    return [finite(float(each)) for each in values]
