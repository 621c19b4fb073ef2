"""Numbers of curves for JSON: rounded, with ``None`` for infinity and NaN."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]
DIGITS = 5


def finite(value: float) -> float | None:
    """The number rounded to ``DIGITS`` decimals; ``None`` for infinity and NaN."""
    return round(value, DIGITS) if math.isfinite(value) else None


def rounded(values: Iterable[float]) -> list[float | None]:
    """Applies :func:`finite` to each number."""
    return [finite(float(value)) for value in values]
