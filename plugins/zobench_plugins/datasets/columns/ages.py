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
    import pandas

    found = column.str.extract(r"^\s*(\d{1,3}(?:\.\d+)?)\s*([YMWDymwd]?)\s*$")
    a_year = found[1].str.upper().map(UNITS)
    age = pandas.to_numeric(found[0]) / a_year
    return np.asarray(np.floor(age.fillna(-1)).astype("int64"))
