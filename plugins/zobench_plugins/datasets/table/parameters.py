"""Settings of ``table``: which file, which columns, and what to do with incomplete rows."""

from __future__ import annotations

from dataclasses import dataclass

from zobench.contracts.parameters import parameter


@dataclass(frozen=True)
class TableParameters:
    """Columns and values of a table of images."""

    file: str = parameter("", "the table; empty: the only CSV, TSV or parquet file of --data-root")
    image: str = parameter("image", "column of the image files, with or without their suffix")
    folder: str = parameter("", "folder of the images in --data-root; empty: anywhere in it")
    label: str = parameter(
        "", "column of the finding, or a condition, e.g. 'dx in mel|bcc'; empty: --disease"
    )
    positive: str = parameter(
        "", "values of label that are the finding, with | between; empty: 1, true or yes"
    )
    negative: str = parameter("", "values of label without the finding; empty: all other values")
    sensitive: str = parameter("sex", "column of the attribute, or a condition, e.g. 'age>=65'")
    group: str = parameter("", "the two values compared, A|B; empty for a column with only two")
    varies: bool = parameter(
        False, "whether images of one patient may differ in the attribute (by number: always)"
    )
    patient: str = parameter("patient", "column of the patients; 'none': one image a patient")
    where: str = parameter(
        "", "rows to use: conditions joined by 'and', e.g. 'view==PA and age>=18'"
    )
    missing: str = parameter(
        "error",
        "rows without image, finding, attribute or patient: an error, or left out and counted",
        choices=("error", "skip"),
    )
    colour: str = parameter(
        "auto",
        "pixels sent; auto: colour if images and the encoder have it",
        choices=("auto", "grey", "rgb"),
    )
    window: str = parameter(
        "", "pixel values that become black and white, LOW,HIGH, for more than 8 bits"
    )
