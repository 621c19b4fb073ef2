"""The tables of CheXpert: selects the films and reads their labels."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError, DatasetError
from zobench.paths import expanded

from ..columns.cells import empty_cells
from ..columns.names import finding_name
from ..columns.reading import read_table

if TYPE_CHECKING:
    import pandas

TABLES = ("train.csv", "valid.csv")
PATH, SEX, AGE, PLANE, VIEW = "Path", "Sex", "Age", "Frontal/Lateral", "AP/PA"
NO_FINDING = "No Finding"
OLDEST = 150
"""Highest age in years that a film may name."""
DIGITS = 18
"""Most digits of a patient's number: those of int64."""
FINDINGS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
UNCERTAIN_IS_POSITIVE = ("Atelectasis", "Edema")
"""Findings with ``usual`` = ``ones``, as U-Ones is best for them in Irvin et al., Table 3."""
DEVICES = "Support Devices"
"""A film may have this label and No Finding at once; such a film counts as positive."""
SEXES = {"Female": 0, "Male": 1}
UNKNOWN_SEX = ("", "Unknown")
BLANK = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None")
"""What programs write for a blank cell."""
SHOWN = 5
"""Films that a message names."""


@dataclass(frozen=True)
class CheXpertParameters:
    """Settings that select the films and the sensitive attribute."""

    view: str = parameter(
        "frontal", "projection", choices=("frontal", "AP", "PA", "lateral", "any")
    )
    uncertain: str = parameter(
        "usual",
        "what -1 means: positive, negative, or left out; usual is ones for atelectasis and edema, "
        "zeros for the others",
        choices=("usual", "ones", "zeros", "ignore"),
    )
    negatives: str = parameter(
        "no-finding",
        "films without the disease: films with No Finding, or all films without it",
        choices=("no-finding", "absent"),
    )
    sensitive: str = parameter("sex", "attribute a", choices=("sex", "age", "race"))
    age: int = parameter(65, "a=1 from this age on, in years, if sensitive=age", low=1, high=120)
    races: str = parameter(
        "White,Black",
        "prefixes of the two race names compared, if sensitive=race; others are left out",
    )
    demographics: str = parameter("", "CSV file of PATIENT and PRIMARY_RACE, if sensitive=race")
    rows: str = parameter("", "text file with the Path of each film to use, one per line")
    window: str = parameter(
        "", "pixel values that become black and white, LOW,HIGH, for films of more than 8 bits"
    )
    missing: float = parameter(
        1.0,
        "largest share of missing or unreadable films, which are left out and counted",
        low=0.0,
        high=1.0,
    )


def find_root(given: Path | None) -> Path:
    """The folder of the tables: the given folder, or the only archive folder in it."""
    if given is None:
        raise ConfigError("dataset chexpert needs --data-root: the folder that holds train.csv")
    if not given.is_dir():
        raise ConfigError(f"--data-root is {str(given)!r}, which is not a folder")
    inside = sorted(file.parent for file in given.glob(f"*/{TABLES[0]}"))
    if len(inside) > 1 and not (given / TABLES[0]).is_file():
        raise ConfigError(
            f"--data-root is {str(given)!r}, which holds several archives: "
            f"{', '.join(entry.name for entry in inside)}; name one"
        )
    for folder in (given, *inside):
        if (folder / TABLES[0]).is_file():
            return folder
    raise DatasetError(
        f"{given / TABLES[0]} is missing; --data-root must be the folder that holds {TABLES[0]}, "
        f"{TABLES[1]} and the films (CheXpert-v1.0 or CheXpert-v1.0-small)"
    )


def find_finding(disease: str) -> str:
    """The column name of a disease in the tables.

    Raises:
        ConfigError: The tables have no such disease.
    """
    columns = {finding_name(name): name for name in FINDINGS}
    if disease not in columns:
        findings = sorted(columns)
        raise ConfigError(
            f"disease is {disease!r}, but CheXpert knows only {', '.join(findings)}"
            + nearest(disease, findings)
        )
    return columns[disease]


def chosen_films(
    root: Path, finding: str, parameters: CheXpertParameters, unreadable: Container[Path]
) -> tuple[pandas.DataFrame, list[Path], tuple[str, str], tuple[str, ...]]:
    """The selected films: one row per film, with ``label``, ``sensitive`` and ``patient``.

    Args:
        root: Folder of the tables.
        finding: The column name of the finding.
        parameters: Settings that select the films and the sensitive attribute.
        unreadable: Films that count as missing.

    Returns:
        The table, the file of each row, the names of the two groups, and notes about what is left out.

    Raises:
        ConfigError: A setting is wrong.
        DatasetError: A file, column or row is wrong, or a cell of (finding, attribute) is empty.
    """
    table = _labelled(_read(root, finding), finding, parameters)
    table = _viewed(table, parameters.view)
    if parameters.rows:
        table = _listed(table, expanded(parameters.rows))
    table, groups, unknown = _divided(table, parameters)
    paths, table, missing = _present(table, root, parameters.missing, unreadable)
    if empty := empty_cells(table["label"], table["sensitive"], groups, finding):
        raise DatasetError(
            f"{root}: with these settings {empty}; there are {len(table)} films in all. Widen "
            "view, rows, races or age"
        )
    return table, paths, groups, (*unknown, *missing)


def _read(root: Path, finding: str) -> pandas.DataFrame:
    """Both tables joined, one row per film, with the needed columns."""
    import pandas

    columns = [PATH, SEX, AGE, PLANE, VIEW, NO_FINDING, finding]
    parts = []
    for path in (root / name for name in TABLES):
        if not path.is_file() and path.name != TABLES[0]:
            continue  # some copies lack the validation part
        parts.append(read_table(path, columns, others=False))
    table = pandas.concat(parts, ignore_index=True)
    table = table.mask(table.isin(BLANK), "")
    for column in (NO_FINDING, finding):
        number = _numbers(table[column])
        odd = (table[column] != "") & ~number.isin((-1.0, 0.0, 1.0))
        _refuse(table, odd, f"column {column!r} is not 1, 0, -1 or blank")
        table[column] = number
    patient = table[PATH].str.extract(r"patient(\d+)", expand=False)
    unread = patient.isna() | (patient.str.len() > DIGITS)
    _refuse(table, unread, "no patient can be read from Path (patient00001/…)")
    age = _numbers(table[AGE])
    _refuse(table, ~age.between(0, OLDEST), f"{AGE} is not a number of years from 0 to {OLDEST}")
    table["patient"], table[AGE] = patient.astype("int64"), age.astype("int64")
    return table


def _numbers(texts: pandas.Series[str]) -> pandas.Series[float]:
    """The number of each text, NaN where it is none; each different text is read once."""
    import pandas

    codes, different = texts.factorize()
    numbers = np.asarray(pandas.to_numeric(different, errors="coerce"), dtype=np.float64)
    return pandas.Series(numbers[codes], index=texts.index)


def _refuse(table: pandas.DataFrame, rows: pandas.Series[bool], what: str) -> None:
    """Raises an error about ``rows``, which break a rule; does nothing if there are none.

    Raises:
        DatasetError: At least one row breaks the rule.
    """
    if rows.any():
        names = ", ".join(str(film) for film in table.loc[rows, PATH].head(SHOWN))
        more = f" and {int(rows.sum()) - SHOWN} more" if rows.sum() > SHOWN else ""
        raise DatasetError(f"{what}: {names}{more}")


def _labelled(
    table: pandas.DataFrame, finding: str, parameters: CheXpertParameters
) -> pandas.DataFrame:
    """Rows that are positive or negative, with the column ``label``."""
    policy = parameters.uncertain
    if policy == "usual":
        policy = "ones" if finding in UNCERTAIN_IS_POSITIVE else "zeros"
    said = table[finding]
    positive = (said == 1) | ((said == -1) & (policy == "ones"))
    _refuse(
        table,
        (said == 1) & (table[NO_FINDING] == 1) & (finding != DEVICES),
        f"labels contradict each other, {finding} and {NO_FINDING} both being 1",
    )
    if parameters.negatives == "no-finding":
        negative = (table[NO_FINDING] == 1) & ~positive
    else:
        negative = ~positive
    if policy == "ignore":
        negative &= said != -1
    chosen = table[positive | negative].copy()
    chosen["label"] = positive[positive | negative].astype("int64")
    for column, what in (("label", "different labels"), (SEX, "another sex"), (AGE, "another age")):
        differs = chosen.groupby(PATH)[column].transform("nunique", dropna=False) > 1
        _refuse(chosen, differs, f"the same film is there twice with {what}")
    return chosen.drop_duplicates(PATH)


def _viewed(table: pandas.DataFrame, view: str) -> pandas.DataFrame:
    if view == "any":
        return table
    if view in ("frontal", "lateral"):
        return table[table[PLANE].str.lower() == view]
    return table[table[VIEW] == view]


def _listed(table: pandas.DataFrame, path: Path) -> pandas.DataFrame:
    """The films that the file ``path`` lists; the root folder in a Path may differ."""
    try:
        wanted = {
            _tail(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()
        }
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"dataset.rows is {str(path)!r}, which cannot be read: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error
    tails = table[PATH].map(_tail)
    unknown = wanted - set(tails)
    if unknown:
        raise DatasetError(
            f"{path} names {len(unknown)} films that are not among those chosen by disease, view and "
            f"uncertain, such as {min(unknown)}"
        )
    return table[tails.isin(wanted)]


def _tail(path: str) -> str:
    """A Path without the name of its root folder, which may differ."""
    parts = path.strip().strip("/").split("/")
    place = next((n for n, part in enumerate(parts) if part in ("train", "valid", "test")), 1)
    return "/".join(parts[place:])


def _divided(
    table: pandas.DataFrame, parameters: CheXpertParameters
) -> tuple[pandas.DataFrame, tuple[str, str], tuple[str, ...]]:
    """Rows with a known sensitive attribute, in column ``sensitive``.

    Also the groups' names, and a note that counts the other rows.
    """
    kind, why = parameters.sensitive, ""
    groups: tuple[str, str]
    if kind == "sex":
        groups, column = ("female", "male"), table[SEX].map(SEXES)
        odd = ~table[SEX].isin([*SEXES, *UNKNOWN_SEX])
        such = f", such as {table[SEX][odd].iloc[0]!r}" if odd.any() else ""
        _refuse(table, odd, f"{SEX} is neither {' nor '.join(SEXES)}, nor blank or Unknown{such}")
        why = "their patient's sex is unknown"
    elif kind == "age":
        groups = (f"under {parameters.age}", f"{parameters.age} and older")
        column = (table[AGE] >= parameters.age).astype("float")
    else:
        groups, column = _races(table, parameters)
        why = f"their patient's race is neither {groups[0]} nor {groups[1]}, or unknown"
    labelled = table[column.notna()].copy()
    labelled["sensitive"] = column[column.notna()].astype("int64")
    if kind != "age":
        mixed = labelled.groupby("patient")["sensitive"].transform("nunique") > 1
        _refuse(labelled, mixed, f"a patient's {kind} is not the same on all films")
    return labelled, groups, _left_out(table[PATH][column.isna()].tolist(), len(table), why)


def _left_out(films: list[str], among: int, why: str) -> tuple[str, ...]:
    """A note that counts the films that are left out; none if there are none."""
    if not films:
        return ()
    note = f"{len(films):,} of {among:,} films are left out, because {why}; the first is {films[0]}"
    return (note,)


def _races(
    table: pandas.DataFrame, parameters: CheXpertParameters
) -> tuple[tuple[str, str], pandas.Series[float]]:
    import pandas

    names = [name.strip() for name in parameters.races.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ConfigError(
            f"dataset.races is {parameters.races!r}, but must be two names with a comma between them"
        )
    path = expanded(parameters.demographics)
    if not parameters.demographics or not path.is_file():
        named = parameters.demographics
        given = f"{named!r}, which is no file" if named else "empty"
        raise ConfigError(
            f"dataset.demographics is {given}, but sensitive=race needs CheXpert's demographics as a "
            "CSV file with the columns PATIENT and PRIMARY_RACE"
        )
    races = read_table(path, ("PATIENT", "PRIMARY_RACE"), others=False)
    race = races["PRIMARY_RACE"]
    number = pandas.Series(np.nan, index=races.index)
    for place, name in enumerate(names):
        number[race.str.lower().str.startswith(name.lower())] = place
    patient = races["PATIENT"].str.extract(r"(\d+)", expand=False)
    complete = number.notna() & patient.notna()
    known = pandas.DataFrame({"patient": patient[complete], "race": number[complete]})
    if (long := known["patient"].str.len() > DIGITS).any():
        raise DatasetError(
            f"{path}: PATIENT {known['patient'][long].iloc[0]!r} has more than {DIGITS} digits"
        )
    known["patient"] = known["patient"].astype("int64")
    both = known.groupby("patient")["race"].nunique() > 1
    if both.any():
        listed = ", ".join(map(str, both.index[both][:5]))
        raise DatasetError(f"{path}: patients with both {names[0]} and {names[1]}: {listed}")
    by_patient = dict(zip(known["patient"], known["race"], strict=True))
    return (names[0], names[1]), table["patient"].map(by_patient)


def _present(
    table: pandas.DataFrame, root: Path, allowed: float, unreadable: Container[Path]
) -> tuple[list[Path], pandas.DataFrame, tuple[str, ...]]:
    """Films whose file exists and is not known to be unreadable, and a note that counts the others.

    Raises:
        DatasetError: No film is there, or a larger share than ``allowed`` is missing or unreadable.
    """
    paths = [root / _tail(path) for path in table[PATH]]
    there: NDArray[np.bool_] = np.array(
        [path.is_file() and path not in unreadable for path in paths], dtype=bool
    )
    lost = int((~there).sum())
    if not lost:
        return paths, table, ()
    names = [str(path) for path, ok in zip(paths, there, strict=True) if not ok]
    if lost == len(paths):
        raise DatasetError(
            f"none of the {lost:,} films that the tables name is there; the first is {names[0]}"
        )
    if lost > allowed * len(paths):
        raise DatasetError(
            f"{lost} of {len(paths)} films are missing or unreadable, more than the share of "
            f"{allowed:g} that dataset.missing allows: {', '.join(names[:SHOWN])}"
            + (f" and {lost - SHOWN} more" if lost > SHOWN else "")
        )
    notes = _left_out(names, len(paths), "their files are missing or unreadable")
    return [path for path, ok in zip(paths, there, strict=True) if ok], table[there], notes
