"""From the rows of a table to labelled images: conditions, finding, attribute, patients, files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.contracts.parameters import cut
from zobench.errors import ConfigError

from ..columns.attribute import Attribute, divided
from ..columns.cells import empty_cells
from ..columns.conditions import existing, is_condition, parsed, parsed_all
from ..columns.faults import Faults
from .files import AMBIGUOUS, matched
from .finding import Finding, finding_column, labelled
from .parameters import TableParameters

if TYPE_CHECKING:
    import pandas

UNKNOWN = ("", "na", "n/a", "nan", "none", "null", "unknown", "?")
"""Texts, in any capitals, of a cell without a value."""
NO_PATIENTS, SKIP = "none", "skip"


@dataclass(frozen=True)
class Selection:
    """The usable rows of a table, all columns of equal length.

    Attributes:
        table: Texts by column, indexed by line of the file.
        label: 1 with the finding, else 0.
        sensitive: 0 or 1, in the order of ``groups``.
        patient: Names of the patients.
        paths: The image files, relative to the root.
        groups: Names of the groups.
        notes: What was left out, in words.
    """

    table: pandas.DataFrame
    label: pandas.Series[int]
    sensitive: pandas.Series[int]
    patient: pandas.Series[str]
    paths: pandas.Series[str]
    groups: tuple[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """What the settings make of the rows of a table.

    Attributes:
        finding: The labels.
        attribute: The groups.
        patient: Names of the patients, blank where unknown.
        image: Names of the images in the table.
        paths: Their files: empty if missing, :data:`AMBIGUOUS` if there are several.
    """

    finding: Finding
    attribute: Attribute
    patient: pandas.Series[str]
    image: pandas.Series[str]
    paths: pandas.Series[str]

    def of(self, rows: pandas.Series[bool]) -> Columns:
        """The columns of some of the rows."""
        groups, varies = self.attribute.groups, self.attribute.varies
        return Columns(
            Finding(self.finding.codes[rows], self.finding.other[rows]),
            Attribute(self.attribute.codes[rows], self.attribute.other[rows], groups, varies),
            self.patient[rows],
            self.image[rows],
            self.paths[rows],
        )


def selected(
    table: pandas.DataFrame,
    source: Path,
    root: Path,
    disease: str,
    parameters: TableParameters,
    unreadable: Container[Path] = (),
) -> Selection:
    """The rows of a table that the settings select.

    Args:
        table: Texts by column, indexed by line.
        source: The file of the table, for messages.
        root: The folder of the dataset.
        disease: The finding, as typed.
        parameters: The settings.
        unreadable: Files that could not be decoded before.

    Raises:
        DatasetError: Something is wrong; the message names everything at once.
    """
    faults, notes = Faults(), list[str]()
    named = _named(list(table.columns), disease, parameters)
    for name in table.columns:
        blank = [word for word in UNKNOWN if word not in named.get(name, ())]
        table[name] = table[name].mask(table[name].str.lower().isin(blank), "")
    table = _filtered(table, parameters, faults, notes)
    columns = _columns(table, root, disease, parameters, faults, source)
    compared = ~(columns.finding.other | columns.attribute.other)
    if not compared.all():
        notes.append(f"{int((~compared).sum()):,} with other values of finding or attribute")
    table, columns = table[compared], columns.of(compared)
    named = columns.image != ""
    if named.any() and (columns.paths[named] == "").all():
        faults.add(
            f"no value of the column of the images has a file below {root}, such as "
            f"{cut(str(columns.image[named].iloc[0]))}; name the column: --set dataset.image=COLUMN, "
            "or the folder with dataset.folder"
        )
        raise faults.error(str(source))
    whole = compared[compared]
    for wrong, reason in _incomplete(columns, root, unreadable):
        if parameters.missing == SKIP:
            notes += [f"{int(wrong.sum()):,} whose {reason}"] if wrong.any() else []
            whole &= ~wrong
        else:
            faults.rows(table, wrong, f"the {reason}; --set dataset.missing=skip leaves them out")
    several = columns.paths == AMBIGUOUS
    faults.rows(table, several, "several files have the image's name; give its path in the table")
    table, columns = table[whole], columns.of(whole)
    _check_images(table, columns.paths, faults)
    if not (columns.attribute.varies or parameters.varies):
        _check_patients(columns, faults)
    _check_cells(columns, faults, notes)
    faults.check(str(source))
    left_out = f"rows of {source.name} left out: " + "; ".join(notes)
    return Selection(
        table=table,
        label=columns.finding.codes.astype("int64"),
        sensitive=columns.attribute.codes.astype("int64"),
        patient=columns.patient,
        paths=columns.paths,
        groups=columns.attribute.groups,
        notes=(left_out,) if notes else (),
    )


def _named(columns: list[str], disease: str, parameters: TableParameters) -> dict[str, set[str]]:
    """Values that the settings name, in small letters, by column; there such a value is not blank."""
    p, named = parameters, defaultdict[str, set[str]](set)

    def add(column: str, values: Iterable[str]) -> None:
        named[column] |= {value.strip().lower() for value in values}

    with suppress(ConfigError):  # what is wrong with a setting is told where it is read
        for condition in parsed_all("dataset.where", p.where, columns):
            add(condition.column, condition.values)
    for setting, text, values in (
        ("dataset.label", p.label, f"{p.positive}|{p.negative}"),
        ("dataset.sensitive", p.sensitive, p.group),
    ):
        with suppress(ConfigError):
            if is_condition(text, columns):
                condition = parsed(setting, text, columns)
                add(condition.column, condition.values)
            elif setting == "dataset.label":
                add(finding_column(disease, text, columns), values.split("|"))
            else:
                add(existing(setting, text, columns), values.split("|"))
    return named


def _filtered(
    table: pandas.DataFrame, parameters: TableParameters, faults: Faults, notes: list[str]
) -> pandas.DataFrame:
    """The rows that fulfil ``dataset.where``; a row with a blank in its column is incomplete."""
    with faults.collecting():
        chosen = table
        for condition in parsed_all("dataset.where", parameters.where, list(table.columns)):
            holds = condition.holds(table)[chosen.index]
            unknown = holds.isna()
            reason = f"{condition.column} of the condition {condition.text} is blank or no number"
            if parameters.missing == SKIP:
                notes += [f"{int(unknown.sum()):,} whose {reason}"] if unknown.any() else []
            else:
                mending = "--set dataset.missing=skip leaves them out"
                faults.rows(chosen, unknown, f"the {reason}; {mending}")
            chosen = chosen[holds == 1.0]
        if len(chosen):
            return chosen
        faults.add(f"no row fulfils dataset.where={parameters.where}")
    return table


def _columns(
    table: pandas.DataFrame,
    root: Path,
    disease: str,
    parameters: TableParameters,
    faults: Faults,
    source: Path,
) -> Columns:
    """What the settings make of the rows.

    Raises:
        DatasetError: A setting is wrong; the message names all that are.
    """
    names = list(table.columns)
    finding = attribute = patient = image = paths = None
    with faults.collecting():
        finding = labelled(table, disease, parameters)
    with faults.collecting():
        attribute = divided(table, parameters.sensitive, parameters.group)
    with faults.collecting():
        image = table[existing("dataset.image", parameters.image, names)]
        paths = matched(image, root, parameters.folder)
    with faults.collecting():
        if parameters.patient == NO_PATIENTS:
            patient = table.index.to_series().astype(str)
        else:
            patient = table[existing("dataset.patient", parameters.patient, names)]
    if finding is None or attribute is None or patient is None or image is None or paths is None:
        if image is not None and paths is not None:
            faults.rows(table, image == "", "the image is blank")
            faults.rows(table, (paths == "") & (image != ""), "the image has no file")
            _check_images(table, paths, faults)
        if patient is not None:
            faults.rows(table, patient == "", "the patient is blank")
        raise faults.error(str(source))
    return Columns(finding, attribute, patient, image, paths)


def _incomplete(
    columns: Columns, root: Path, unreadable: Container[Path]
) -> Iterator[tuple[pandas.Series[bool], str]]:
    """Rows that lack something, and what."""
    yield columns.finding.codes.isna(), "finding is blank or no value"
    yield columns.attribute.codes.isna(), "attribute is blank or no value"
    yield columns.patient == "", "patient is blank"
    yield columns.image == "", "image is blank"
    yield (columns.paths == "") & (columns.image != ""), "image has no file"
    there = (columns.paths != "") & (columns.paths != AMBIGUOUS)
    broken = columns.paths.map(lambda path: root / path in unreadable).astype(bool)
    yield there & broken, "image could not be decoded"


def _check_images(table: pandas.DataFrame, paths: pandas.Series[str], faults: Faults) -> None:
    there = (paths != "") & (paths != AMBIGUOUS)
    twice = paths[there].duplicated(keep=False).reindex(table.index, fill_value=False)
    faults.rows(table, twice, "the image is named by several rows; keep one row an image")


def _check_patients(columns: Columns, faults: Faults) -> None:
    """Each patient must be in one group."""
    complete = (columns.patient != "") & columns.attribute.codes.notna()
    groups = columns.attribute.codes[complete].groupby(columns.patient[complete]).nunique()
    mixed = [str(name) for name in groups[groups > 1].index]
    if mixed:
        patients = f"{len(mixed):,} patients have" if len(mixed) > 1 else "1 patient has"
        faults.add(
            f"{patients} images in both groups (name another column as dataset.patient; or --set "
            "dataset.varies=true, if the attribute of a patient may change)",
            mixed,
        )


def _check_cells(columns: Columns, faults: Faults, notes: Sequence[str]) -> None:
    """Each of the four cells of (finding, attribute) must have an image; notes tell what is left out."""
    attribute = columns.attribute
    if empty := empty_cells(columns.finding.codes, attribute.codes, attribute.groups):
        left_out = f" (rows left out: {'; '.join(notes)})" if notes else ""
        faults.add(f"{empty}; widen dataset.where, positive or group{left_out}")
