"""Numbers of the page for JSON: rounded, with ``None`` for infinity and NaN."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from zobench.measures.interval import Interval

Json = dict[str, Any]
DIGITS = 5


def interval(found: Interval) -> Json:
    """The value and both ends of an interval as a JSON object."""
    return {"value": finite(found.value), "low": finite(found.low), "high": finite(found.high)}


def finite(value: float) -> float | None:
    """The number rounded to ``DIGITS`` decimals; ``None`` for infinity and NaN."""
    return round(value, DIGITS) if math.isfinite(value) else None


def rounded(values: Iterable[float]) -> list[float | None]:
    """Applies :func:`finite` to each number."""
    return [finite(float(each)) for each in values]
