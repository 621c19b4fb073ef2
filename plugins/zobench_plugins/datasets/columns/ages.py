"""Ages as archives and DICOM files write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas

UNITS = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
"""How many of each unit are a year."""


def years(column: pandas.Series[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Ages in whole years from texts such as ``54``, ``54.0``, ``054Y`` or ``006M``; -1 if unknown.

    A letter after the number is DICOM's unit of an age: years, months, weeks or days.
    """
    age = _matched(column, r"^\s*(\d{1,3}(?:\.\d+)?)\s*([YMWDymwd]?)\s*$")
    return np.asarray(np.floor(age.fillna(-1)).astype("int64"))


def age_strings(column: pandas.Series[str]) -> pandas.Series[float]:
    """Years of DICOM's age strings, such as ``054Y`` or ``006M``; NaN for all other texts.

    Source: DICOM PS3.5, section 6.2, value representation AS.
    """
    return _matched(column, r"^\s*(\d{3})([YMWD])\s*$")


def _matched(column: pandas.Series[str], form: str) -> pandas.Series[float]:
    """Years where a text has a form of a number and a unit; else NaN."""
    import pandas

    matches = column.str.extract(form)
    return pandas.to_numeric(matches[0]) / matches[1].str.upper().map(UNITS)
