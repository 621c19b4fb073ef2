"""NIH ChestX-ray14 in its published layout: ``Data_Entry_2017.csv`` beside folders of PNG films.

Wang et al., "ChestX-ray8", CVPR 2017. A finding is compared with "No Finding"; films with neither
are left out. The sensitive attribute is sex, or another column or condition.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.dataset import DatasetRequest, DatasetSpec, Pixels, Records, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError, DatasetError

from .columns.ages import years
from .columns.attribute import Attribute, divided
from .columns.cells import empty_cells
from .columns.faults import Faults
from .columns.names import finding_name
from .columns.reading import read_table
from .films import ArchiveFilms, digest_of
from .pictures.decoding import PictureForm
from .pictures.levels import parsed_window

if TYPE_CHECKING:
    import pandas

TABLE = "Data_Entry_2017.csv"
IMAGE, FINDINGS, PATIENT, AGE, SEX, VIEW = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
NEEDED = (IMAGE, FINDINGS, PATIENT, AGE, SEX, VIEW)
NEGATIVE = "no_finding"
SEXES = {"F": "female", "M": "male"}
UNKNOWN_SEX = ("", "O", "U")
"""Values that name neither sex: a blank cell, DICOM's O for other, and U for unknown."""
BIAS = 0.8
OLDEST = 150
"""Highest age in years that a row may name."""


@dataclass(frozen=True)
class NihParameters:
    """Settings that select the films and the sensitive attribute."""

    view: str = parameter("any", "projection", choices=("any", "PA", "AP"))
    min_age: int = parameter(0, "youngest patient, in years", low=0, high=OLDEST)
    max_age: int = parameter(OLDEST, "oldest patient, in years", low=0, high=OLDEST)
    sensitive: str = parameter(
        "sex", "attribute a: sex, view, a column, or a condition, e.g. 'age>=65', which is a=1"
    )
    group: str = parameter("", "the two values compared, A|B; empty for a column with only two")
    window: str = parameter(
        "", "pixel values that become black and white, LOW,HIGH, for films of more than 8 bits"
    )


def precheck(disease: str, root: Path | None, *_: object) -> None:
    """Refuses a folder without the archive, and a disease that its table does not name.

    Raises:
        ConfigError: The folder is missing, or the disease is unknown.
        DatasetError: The table cannot be read, or lacks a column.
    """
    source = _root(root) / TABLE
    _with_finding(read_table(source, NEEDED), source, disease)


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
            DatasetError: Something is wrong with the table; the message names everything at once.
        """
        root = _root(request.root)
        source = root / TABLE
        table = _with_finding(read_table(source, NEEDED), source, request.disease)
        table, missing = _present(table, source, root, request.disease)
        faults = Faults()
        _check(table, faults)
        faults.check(str(source))
        table, ages = _aged(_named(table))
        with faults.collecting():
            attribute = divided(_texts(table), parameters.sensitive, parameters.group)
        faults.check(str(source))
        chosen = table["age"].between(parameters.min_age, parameters.max_age)
        if parameters.view != "any":
            chosen &= table[VIEW] == parameters.view
        unknown = _unknown(attribute, chosen, parameters.sensitive)
        table = table.assign(sensitive=attribute.codes)[chosen & attribute.codes.notna()]
        if (table.groupby("sex")["sensitive"].nunique() == 1).all():  # sex, whatever it is called
            _check_patients(table, faults)
        if empty := empty_cells(
            table["label"], table["sensitive"], attribute.groups, request.disease
        ):
            faults.add(
                f"{empty}, with view={parameters.view} and ages {parameters.min_age} to "
                f"{parameters.max_age}; widen the filters, or name another disease"
            )
        faults.check(str(source))
        self._paths = [root / path for path in table["path"]]
        self._lines = table.index.tolist()
        label, sensitive = (table[name].to_numpy(np.int64) for name in ("label", "sensitive"))
        self.records = Records(
            patient=table[PATIENT].to_numpy(np.int64),
            label=label,
            sensitive=sensitive,
            age=table["age"].to_numpy(np.int64),
            view=table[VIEW].to_numpy(str),
            image=table["path"].to_numpy(str),
        )
        form = PictureForm(request.size, window=parsed_window(parameters.window))
        lean = label[sensitive == 0].mean() - label[sensitive == 1].mean()
        self.spec = DatasetSpec(
            name="nih",
            disease=request.disease,
            shape=(1, request.size, request.size),
            groups=attribute.groups,
            digest=digest_of([form.key, *_described(self._paths, self.records)]),
            positive_rate_gap=BIAS if lean >= 0 else -BIAS,
            bias="as-is",
            notes=(*missing, *ages, *unknown),
        )
        self._films = ArchiveFilms(request.cache / "nih", self._paths, form, self._title)

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Films, decoded the first time that they are asked for.

        Raises:
            DatasetError: A file is missing or damaged, has colour, or has more than 8 bits and does
                not say which values are black and white.
        """
        return self._films.read(rows, progress)

    def _title(self, row: int) -> str:
        return f"{self._paths[row]} (line {self._lines[row]:,} of the table)"


def _root(given: Path | None) -> Path:
    if given is None:
        raise ConfigError("dataset nih needs --data-root: the folder that holds " + TABLE)
    if not given.is_dir():
        raise ConfigError(
            f"--data-root is {str(given)!r}, which is not a folder; give the folder that holds {TABLE}"
        )
    if not (given / TABLE).is_file():
        raise DatasetError(
            f"{given / TABLE} is missing; --data-root must be the folder that holds {TABLE} and the "
            "images (ChestX-ray14's layout)"
        )
    return given


def _with_finding(table: pandas.DataFrame, source: Path, disease: str) -> pandas.DataFrame:
    """The rows with the finding or with "No Finding", and their label."""
    names_in = {
        text: {finding_name(name) for name in text.split("|")} for text in table[FINDINGS].unique()
    }
    findings = table[FINDINGS].map(names_in)
    positive = findings.map(lambda names: disease in names)
    if disease == NEGATIVE or not positive.any():
        diseases = sorted(set().union(*findings) - {NEGATIVE, ""})
        raise ConfigError(
            f"disease is {disease!r}, but {source} knows only {', '.join(diseases)}"
            + nearest(disease, diseases)
        )
    negative = findings.map(lambda names: names == {NEGATIVE})
    return table.assign(label=positive.astype("int64"))[positive | negative]


def _aged(table: pandas.DataFrame) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """The rows whose age is possible, and a note that counts the others: the archive has a few."""
    impossible = table["age"] > OLDEST
    if not impossible.any():
        return table, ()
    first = table[impossible].iloc[0]
    note = (
        f"{int(impossible.sum()):,} of {len(table):,} rows of {TABLE} are left out, because their age "
        f"is more than {OLDEST} years; the first is {first[IMAGE]!r} with {first['age']}"
    )
    return table[~impossible], (note,)


def _unknown(attribute: Attribute, chosen: pandas.Series[bool], sensitive: str) -> tuple[str, ...]:
    """A note that counts the chosen rows that are left out because their group is unknown."""
    blank = (attribute.codes.isna() & ~attribute.other)[chosen]
    if not blank.any():
        return ()
    note = (
        f"{int(blank.sum()):,} of {len(blank):,} rows of {TABLE} are left out, because "
        f"dataset.sensitive={sensitive} is unknown there; the first is line {blank.idxmax():,}"
    )
    return (note,)


def _present(
    table: pandas.DataFrame, source: Path, root: Path, disease: str
) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """The rows whose image is there, with its path, and a note that counts the others."""
    folders = [root / "images", *sorted(root.glob("images_*/images")), root]
    paths: dict[str, str] = {}
    for folder in reversed([path for path in folders if path.is_dir()]):
        before = folder.relative_to(root).as_posix()
        with os.scandir(folder) as entries:
            paths |= {
                entry.name: f"{before}/{entry.name}".removeprefix("./")
                for entry in entries
                if entry.is_file()
            }
    table = table.assign(path=table[IMAGE].map(paths))
    lost = table["path"].isna()
    if not lost.any():
        return table, ()
    first = table[IMAGE][lost].iloc[0]
    if lost.all():
        places = ", ".join(str(folder) for folder in folders)
        raise DatasetError(
            f"none of the {len(table):,} images that {source} names for {disease} is there, the "
            f"first is {first!r}; looked in {places}"
        )
    note = (
        f"{int(lost.sum()):,} of {len(table):,} rows of {source.name} are left out, because their "
        f"images are missing; the first is {first!r}"
    )
    return table[~lost], (note,)


def _check(table: pandas.DataFrame, faults: Faults) -> None:
    digits = table[PATIENT].str.fullmatch(r"\d{1,18}")
    faults.rows(table, ~digits, f"{PATIENT} is not a number{_such_as(table[PATIENT][~digits])}")
    aged = years(table[AGE]) >= 0
    faults.rows(table, ~aged, f"{AGE} is not a number of years{_such_as(table[AGE][~aged])}")
    sexes = table[SEX].isin([*SEXES, *UNKNOWN_SEX])
    rule = f"{SEX} is neither F nor M, nor blank, O or U for unknown"
    faults.rows(table, ~sexes, f"{rule}{_such_as(table[SEX][~sexes])}")
    twice = table["path"].duplicated(keep=False)
    faults.rows(table, twice, "the image is named by several rows")


def _such_as(values: pandas.Series[str]) -> str:
    return f", such as {values.iloc[0]!r}" if len(values) else ""


def _named(table: pandas.DataFrame) -> pandas.DataFrame:
    """The table with the columns sex, age and view beside the archive's own names."""
    return table.assign(
        sex=table[SEX].map(SEXES).fillna(""),
        age=years(table[AGE]),
        view=table[VIEW],
    )


def _texts(table: pandas.DataFrame) -> pandas.DataFrame:
    return table.drop(columns=["label", "path"]).astype(str)


def _check_patients(table: pandas.DataFrame, faults: Faults) -> None:
    """A patient's sex must be the same on all films."""
    groups = table.groupby(PATIENT, sort=False)["sensitive"].transform("nunique")
    for patient, films in table[groups > 1].groupby(PATIENT, sort=False):
        both = films.drop_duplicates("sensitive")
        words = " and ".join(
            f"{sex} in line {line:,}" for line, sex in zip(both.index, both["sex"], strict=True)
        )
        faults.add(f"patient {patient} is {words}")


def _described(paths: list[Path], records: Records) -> list[str]:
    """One line a film: name, patient, labels and the size of the file."""
    return [
        f"{path.name},{patient},{y},{a},{path.stat().st_size}"
        for path, patient, y, a in zip(
            paths,
            records.patient.tolist(),
            records.label.tolist(),
            records.sensitive.tolist(),
            strict=True,
        )
    ]
