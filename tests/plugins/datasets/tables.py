"""Small folders of images with a table, which a test may break."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from zobench_plugins.datasets.table.dataset import TableDataset
from zobench_plugins.datasets.table.parameters import TableParameters

from zobench.contracts.dataset import DatasetRequest

Row = dict[str, str]
COLUMNS = {"image": "file", "sensitive": "gender", "label": "dx", "patient": "person"}
"""The names of the columns in these tables, which are not zobench's own."""


def rows(count: int = 16) -> list[Row]:
    """Rows of which each cell of (finding, attribute) has a quarter."""
    return [
        {
            "file": f"film-{number:03d}.png",
            "person": f"P{number:03d}",
            "gender": "woman" if number % 2 else "man",
            "dx": "mel" if number // 2 % 2 else "nv",
            "age": str(30 + number),
            "view": "PA" if number // 4 % 2 else "AP",
        }
        for number in range(count)
    ]


def write(folder: Path, table: list[Row], delimiter: str = ",", **options: Any) -> Path:
    """Writes the images that the rows of a table name, and the table."""
    (folder / "films").mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(table):
        path = folder / "films" / row["file"]
        if row["file"] and not path.exists():
            save(path, number)
    with (folder / "labels.csv").open("w", newline="", **options) as file:
        writer = csv.DictWriter(file, list(table[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return folder


def save(path: Path, number: int, size: tuple[int, int] = (24, 24)) -> None:
    """A grey picture of noise."""
    noise = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(noise).save(path)


def opened(
    root: Path, cache: Path, disease: str = "melanoma", channels: int = 1, **parameters: Any
) -> TableDataset:
    """The dataset of such a folder."""
    settings = {**COLUMNS, "positive": "mel", **parameters}
    request = DatasetRequest(disease, root, 16, cache, channels=channels)
    return TableDataset(request, TableParameters(**settings))


Spoil = Callable[[list[Row]], None]
