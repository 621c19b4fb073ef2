"""NIH ChestX-ray14 in its published layout: ``Data_Entry_2017.csv`` beside folders of PNG films.

Wang et al., "ChestX-ray8", CVPR 2017. A finding is compared with "No Finding"; films with neither
are left out. Sex is the sensitive attribute.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zobench.contracts.dataset import DatasetRequest, DatasetSpec, Pixels, Records, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError, DatasetError

from .films import ArchiveFilms, digest_of

TABLE = "Data_Entry_2017.csv"
IMAGE, FINDINGS, PATIENT, AGE, SEX, VIEW = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
NEGATIVE = "no finding"
GROUPS = ("female", "male")
BIAS = 0.8


@dataclass(frozen=True)
class NihParameters:
    """Settings that select the films."""

    view: str = parameter("any", "projection", choices=("any", "PA", "AP"))
    min_age: int = parameter(0, "youngest patient, in years", low=0, high=200)
    max_age: int = parameter(150, "oldest patient, in years", low=0, high=200)


@dataclass(frozen=True)
class _Entry:
    """One selected row of the table."""

    line: int
    path: Path
    patient: int
    label: int
    sensitive: int
    age: int
    view: str


class NihDataset:
    """Films with one finding and films with "No Finding".

    Attributes:
        spec: The dataset's spec; an amplified bias has the direction of the archive's.
        records: One row per film.
    """

    def __init__(self, request: DatasetRequest, parameters: NihParameters) -> None:
        """Reads and checks the table; no film is opened yet.

        Raises:
            ConfigError: The folder is missing, or the disease is unknown.
            DatasetError: A file, column or row is wrong.
        """
        if request.root is None:
            raise ConfigError("dataset nih needs --data-root: the folder that holds " + TABLE)
        if not request.root.is_dir():
            raise ConfigError(f"--data-root is {str(request.root)!r}, which is not a folder")
        table = request.root / TABLE
        if not table.is_file():
            raise DatasetError(
                f"{table} is missing; --data-root must be the folder that holds {TABLE} and the "
                "images (ChestX-ray14's layout)"
            )
        try:
            entries, notes = _read(table, request.root, request.disease)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{table} cannot be read as a UTF-8 CSV file: {error}") from error
        self._entries = _select(entries, parameters, table)
        _check_sexes(self._entries, table)
        sensitive = np.array([entry.sensitive for entry in self._entries], dtype=np.int64)
        label = np.array([entry.label for entry in self._entries], dtype=np.int64)
        self.records = Records(
            patient=np.array([entry.patient for entry in self._entries], dtype=np.int64),
            label=label,
            sensitive=sensitive,
            age=np.array([entry.age for entry in self._entries], dtype=np.int64),
            view=np.array([entry.view for entry in self._entries]),
        )
        lean = label[sensitive == 0].mean() - label[sensitive == 1].mean()
        self.spec = DatasetSpec(
            name="nih",
            disease=request.disease,
            shape=(1, request.size, request.size),
            groups=GROUPS,
            digest=digest_of(_lines(self._entries)),
            positive_rate_gap=BIAS if lean >= 0 else -BIAS,
            bias="as-is",
            notes=notes,
        )
        paths = [entry.path for entry in self._entries]
        self._films = ArchiveFilms(request.cache / "nih", paths, request.size, self._title)

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Films, decoded the first time that they are asked for.

        Raises:
            DatasetError: A file is missing, damaged, or not an 8-bit grey film.
        """
        return self._films.read(rows, progress)

    def _title(self, row: int) -> str:
        entry = self._entries[row]
        return f"{entry.path} (line {entry.line} of the table)"


def _read(table: Path, root: Path, disease: str) -> tuple[list[_Entry], tuple[str, ...]]:
    """The rows with the finding and the rows with "No Finding", and a note about missing images."""
    folders = [root / "images", *sorted(root.glob("images_*/images")), root]
    rows = list(_chosen_rows(table, disease))
    entries = [_entry(row, line, table, folders, label) for row, line, label in rows]
    present = [entry for entry in entries if entry is not None]
    if len(present) == len(rows):
        return present, ()
    first = next(row[IMAGE] for (row, _, _), found in zip(rows, entries, strict=True) if not found)
    places = ", ".join(str(folder) for folder in folders)
    if not present:
        raise DatasetError(
            f"none of the {len(rows):,} images that {table} names for {disease} is there, the first is "
            f"{first!r}; looked in {places}"
        )
    note = (
        f"{len(rows) - len(present):,} of {len(rows):,} rows of {table.name} are left out, because "
        f"their images are missing; the first is {first!r}"
    )
    return present, (note,)


def _chosen_rows(table: Path, disease: str) -> Iterator[tuple[dict[str, str], int, int]]:
    """The rows with the finding or with "No Finding", their lines and labels."""
    wanted = _plain(disease)
    seen: set[str] = set()
    found = False
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for column in (IMAGE, FINDINGS, PATIENT, AGE, SEX, VIEW):
            if column not in (reader.fieldnames or ()):
                raise DatasetError(
                    f"{table} has no column {column!r}; it has {', '.join(reader.fieldnames or ())}"
                )
        for row in reader:
            findings = {_plain(name) for name in (row[FINDINGS] or "").split("|")}
            seen |= findings
            if wanted not in findings and findings != {NEGATIVE}:
                continue
            found = found or wanted in findings
            yield row, reader.line_num, int(wanted in findings)
    if not found:
        known = sorted(name.replace(" ", "_") for name in seen - {NEGATIVE, ""})
        raise ConfigError(
            f"disease is {disease!r}, but {table} knows only {', '.join(known)}"
            + nearest(disease, known)
        )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip().lower())


def _entry(
    row: dict[str, str], line: int, table: Path, folders: list[Path], label: int
) -> _Entry | None:
    """A row of the table; ``None`` if its image is missing."""
    patient, age = row[PATIENT] or "", re.match(r"\d+", row[AGE] or "")
    if not patient.isdigit():
        raise DatasetError(f"{table} line {line}: {PATIENT} is {patient!r}, not a number")
    if row[SEX] not in ("F", "M"):
        raise DatasetError(f"{table} line {line}: {SEX} is {row[SEX]!r}, but must be F or M")
    if age is None:
        raise DatasetError(f"{table} line {line}: {AGE} is {row[AGE]!r}, not a number of years")
    name = row[IMAGE]
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        return None
    return _Entry(line, path, int(patient), label, int(row[SEX] == "M"), int(age[0]), row[VIEW])


def _select(entries: list[_Entry], parameters: NihParameters, table: Path) -> list[_Entry]:
    chosen = [
        entry
        for entry in entries
        if parameters.view in ("any", entry.view)
        and parameters.min_age <= entry.age <= parameters.max_age
    ]
    cells = {(entry.label, entry.sensitive) for entry in chosen}
    if len(cells) < 4:
        raise DatasetError(
            f"{table} leaves a cell of (finding, sex) empty with view={parameters.view} and ages "
            f"{parameters.min_age} to {parameters.max_age}; widen the filters"
        )
    return chosen


def _check_sexes(entries: list[_Entry], table: Path) -> None:
    first: dict[int, _Entry] = {}
    for entry in entries:
        before = first.setdefault(entry.patient, entry)
        if before.sensitive != entry.sensitive:
            raise DatasetError(
                f"{table}: patient {entry.patient} is {GROUPS[before.sensitive]} in line "
                f"{before.line} and {GROUPS[entry.sensitive]} in line {entry.line}"
            )


def _lines(entries: list[_Entry]) -> list[str]:
    """The chosen rows and the sizes of their files."""
    return [
        f"{each.path.name},{each.patient},{each.label},{each.sensitive},{each.path.stat().st_size}"
        for each in entries
    ]
