"""The real films of the NIH archive in the layout of CheXpert."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import tables as small
from PIL import Image
from zobench_plugins.datasets.chexpert.table import FINDINGS


@pytest.fixture(scope="module")
def table_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated folder whose table has a column for the disease."""
    table = [{**row, "melanoma": str(int(row["dx"] == "mel"))} for row in small.rows()]
    return small.write(tmp_path_factory.mktemp("table"), table)


HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", *FINDINGS]
SEXES = {"F": "Female", "M": "Male"}


@pytest.fixture(scope="module")
def chexpert_root(films_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NIH's films in CheXpert's layout; patients whose number ends in 0 are in valid.csv."""
    root = tmp_path_factory.mktemp("archive") / "CheXpert-v1.0-small"
    tables: dict[str, list[dict[str, str]]] = {"train": [], "valid": []}
    with (films_root / "Data_Entry_2017.csv").open() as file:
        for number, entry in enumerate(csv.DictReader(file)):
            patient = int(entry["Patient ID"])
            part = "train" if patient % 10 else "valid"
            folder = f"{part}/patient{patient:05d}/study{number}"
            (root / folder).mkdir(parents=True)
            with Image.open(films_root / "images" / entry["Image Index"]) as film:
                film.convert("L").save(root / folder / "view1_frontal.jpg", quality=90)
            labels = dict.fromkeys(entry["Finding Labels"].replace("_", " ").split("|"), "1.0")
            basic = {
                "Path": f"{root.name}/{folder}/view1_frontal.jpg",
                "Sex": SEXES[entry["Patient Gender"]],
                "Age": entry["Patient Age"],
                "Frontal/Lateral": "Frontal",
                "AP/PA": entry["View Position"],
            }
            tables[part].append({**basic, **labels})
    for part, rows in tables.items():
        with (root / f"{part}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, HEADER, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return root
