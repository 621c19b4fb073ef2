"""ChestX-ray14's layout: the real films, and small folders with deliberate faults."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zobench_plugins.datasets.nih import TABLE, NihDataset, NihParameters

from zobench.contracts.dataset import DatasetRequest
from zobench.errors import ConfigError, DatasetError

HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
]
Row = list[str]


def open_dataset(root: Path, disease: str = "pneumonia", **parameters: object) -> NihDataset:
    request = DatasetRequest(disease, root, 64, Path(os.environ["ZOBENCH_CACHE"]))
    return NihDataset(request, NihParameters(**parameters))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes eight correct films and a table whose rows a test may change."""

    def write(spoil: Callable[[list[Row]], None] | None = None, header: Row = HEADER) -> Path:
        rows = []
        (tmp_path / "images").mkdir(exist_ok=True)
        for number in range(8):
            name = f"{number:08d}_000.png"
            grey = np.full((32, 32), 20 * number + 20, np.uint8)
            Image.fromarray(grey).save(tmp_path / "images" / name)
            finding = "Pneumonia|Edema" if number % 2 else "No Finding"
            sex = "M" if number // 2 % 2 else "F"
            rows.append([name, finding, "0", str(number), "0" + str(40 + number) + "Y", sex, "PA"])
        if spoil is not None:
            spoil(rows)
        with (tmp_path / TABLE).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return tmp_path

    return write


def test_the_real_archive_gives_its_published_cells(films_root: Path) -> None:
    records = open_dataset(films_root).records
    cells = np.bincount(2 * records.label + records.sensitive).tolist()
    assert cells == [186, 159, 111, 181]
    assert len(np.unique(records.patient)) == 432


def test_real_films_decode_to_the_asked_size(films_root: Path) -> None:
    pixels = open_dataset(films_root).pixels(np.arange(5))
    assert pixels.shape == (5, 1, 64, 64)
    assert pixels.std() > 20


def test_rows_with_neither_the_finding_nor_none_are_left_out(tree: Callable[..., Path]) -> None:
    def spoil(rows: list[Row]) -> None:
        rows.append(["x.png", "Hernia", "0", "99", "50", "F", "PA"])  # left out; needs no file

    dataset = open_dataset(tree(spoil))
    assert dataset.records.label.tolist() == [0, 1] * 4
    assert dataset.records.sensitive.tolist() == [0, 0, 1, 1] * 2
    assert dataset.records.age.tolist() == list(range(40, 48))
    assert dataset.spec.groups == ("female", "male")


def test_a_finding_has_one_name_so_that_it_is_one_problem(tree: Callable[..., Path]) -> None:
    assert len(open_dataset(tree(), "edema").records) == 8
    for typed in ("EDEMA", "Edema"):
        with pytest.raises(ConfigError, match="did you mean 'edema'"):
            open_dataset(tree(), typed)


def test_impossible_ages_are_left_out_and_counted(tree: Callable[..., Path]) -> None:
    """The archive has a few, such as 414."""

    def spoil(rows: list[Row]) -> None:
        rows[0][4] = "414Y"

    dataset = open_dataset(tree(spoil))
    assert len(dataset.records) == 7
    (note,) = dataset.spec.notes
    assert note.startswith("1 of 8 rows of Data_Entry_2017.csv are left out, because their age is")
    assert note.endswith("with 414")


def test_views_and_ages_filter(tree: Callable[..., Path], tmp_path: Path) -> None:
    def spoil(rows: list[Row]) -> None:
        for row in list(rows):
            shutil.copy(tmp_path / "images" / row[0], tmp_path / "images" / f"ap-{row[0]}")
            rows.append([f"ap-{row[0]}", *row[1:3], str(int(row[3]) + 50), *row[4:6], "AP"])

    root = tree(spoil)
    assert len(open_dataset(root).records) == 16
    assert set(open_dataset(root, view="AP").records.view) == {"AP"}
    assert open_dataset(root, min_age=41, max_age=46).records.age.min() == 41
    empty = "in the cells female without pneumonia, .* ages 47 to 150; widen the filters"
    with pytest.raises(DatasetError, match=empty):
        open_dataset(root, min_age=47)


def test_the_default_bias_leans_as_the_archive_does(
    tree: Callable[..., Path], tmp_path: Path
) -> None:
    def spoil(rows: list[Row]) -> None:
        shutil.copy(tmp_path / "images" / rows[3][0], tmp_path / "images" / "more.png")
        rows.append(["more.png", rows[3][1], "1", "50", *rows[3][4:]])

    assert open_dataset(tree(spoil)).spec.positive_rate_gap == -0.8  # one more man with the finding


def set_cell(row: int, column: int, value: str) -> Callable[[list[Row]], None]:
    def spoil(rows: list[Row]) -> None:
        rows[row][column] = value

    return spoil


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (3, "abc", r"line 4\): Patient ID is not a number, such as 'abc'"),
        (4, "old", r"line 4\): Patient Age is not a number of years, such as 'old'"),
        (5, "f", r"line 4\): Patient Gender is neither F nor M, .* unknown, such as 'f'"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_column(
    tree: Callable[..., Path], column: int, value: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(tree(set_cell(2, column, value)))


def test_rows_without_an_image_are_left_out_and_counted(tree: Callable[..., Path]) -> None:
    whole = open_dataset(tree())
    assert whole.spec.notes == ()
    part = open_dataset(tree(set_cell(2, 0, "missing.png")))
    assert len(part.records) == len(whole.records) - 1
    (note,) = part.spec.notes
    assert note.startswith(f"1 of {len(whole.records)} rows of Data_Entry_2017.csv are left out")
    assert "'missing.png'" in note


@pytest.mark.parametrize("sex", ["", "O", "U"])
def test_rows_of_unknown_sex_are_left_out_and_counted_where_sex_is_compared(
    tree: Callable[..., Path], sex: str
) -> None:
    whole = open_dataset(tree())
    root = tree(set_cell(2, 5, sex))
    part = open_dataset(root)
    assert part.records.image.tolist() == np.delete(whole.records.image, 2).tolist()
    (note,) = part.spec.notes
    assert note == (
        f"1 of {len(whole.records)} rows of Data_Entry_2017.csv are left out, because "
        "dataset.sensitive=sex is unknown there; the first is line 4"
    )
    assert open_dataset(root, min_age=43).spec.notes == ()  # the row is left out by its age
    by_age = open_dataset(root, sensitive="age>=42")
    assert len(by_age.records) == len(whole.records)
    assert by_age.spec.notes == ()


def test_a_table_without_any_image_is_an_error(tree: Callable[..., Path]) -> None:
    def spoil(rows: list[Row]) -> None:
        for row in rows:
            row[0] = "missing.png"

    with pytest.raises(DatasetError, match=r"none of the \d+ images .*'missing.png'; looked in"):
        open_dataset(tree(spoil))


def test_a_patient_with_two_sexes_is_named_with_both_lines(tree: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match="patient 0 is female in line 2 and male in line 4"):
        open_dataset(tree(set_cell(2, 3, "0")))


@pytest.mark.parametrize("sensitive", ["Patient Gender", "sex==female"])
def test_whatever_names_the_sex_it_is_one_for_each_patient(
    tree: Callable[..., Path], sensitive: str
) -> None:
    with pytest.raises(DatasetError, match="patient 0 is female in line 2 and male in line 4"):
        open_dataset(tree(set_cell(2, 3, "0")), sensitive=sensitive)


def test_ages_in_months_and_days_are_years(tree: Callable[..., Path]) -> None:
    def younger(rows: list[Row]) -> None:
        rows[0][4], rows[1][4], rows[2][4] = "006M", "030M", "012D"

    assert open_dataset(tree(younger)).records.age.tolist()[:4] == [0, 2, 0, 43]


def test_a_missing_column_is_named_with_those_that_are_there(tree: Callable[..., Path]) -> None:
    header = ["Sex" if name == "Patient Gender" else name for name in HEADER]
    with pytest.raises(DatasetError, match=r"no column 'Patient Gender'; it has .*Sex"):
        open_dataset(tree(header=header))


def test_a_table_without_rows_or_with_cells_to_spare_is_an_error(
    tree: Callable[..., Path],
) -> None:
    with pytest.raises(DatasetError, match="no rows below its header"):
        open_dataset(tree(lambda rows: rows.clear()))
    with pytest.raises(DatasetError, match="names 7 columns, but line 3 has 8 cells"):
        open_dataset(tree(lambda rows: rows[1].append("x")))


def test_a_blank_line_shifts_no_line_number(tree: Callable[..., Path]) -> None:
    def spoil(rows: list[Row]) -> None:
        rows[2][4] = "old"
        rows.insert(1, [])

    with pytest.raises(DatasetError, match=r"line 5\): Patient Age"):
        open_dataset(tree(spoil))


def test_missing_folders_and_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"Data_Entry_2017.csv is missing"):
        open_dataset(tmp_path)


def test_an_unknown_finding_gets_the_nearest_known_one(tree: Callable[..., Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"knows only edema, pneumonia \(did you mean 'pneumonia'"
    ):
        open_dataset(tree(), "pneumona")


def spoil_film(root: Path, save: Callable[[Path], None]) -> NihDataset:
    save(root / "images" / "00000002_000.png")
    return open_dataset(root)


def truncate(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (truncate, "not a readable image"),
        (lambda path: path.write_text("not an image"), "not a readable image"),
        (
            lambda path: Image.new("I;16", (32, 32)).save(path),
            "more than 8 bits and does not say which",
        ),
        (lambda path: Image.new("RGBA", (32, 32), (9, 9, 9, 100)).save(path), "transparent pixels"),
        (lambda path: Image.new("RGB", (32, 32), (9, 50, 9)).save(path), "colour"),
    ],
    ids=["truncated", "text", "16-bit", "transparent", "colour"],
)
def test_a_film_that_is_none_is_named_with_its_line(
    tree: Callable[..., Path], save: Callable[[Path], None], message: str
) -> None:
    dataset = spoil_film(tree(), save)
    with pytest.raises(DatasetError, match=message) as caught:
        dataset.pixels(np.arange(8))
    assert "00000002_000.png (line 4 of the table)" in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_grey_in_disguise_is_read_as_grey(tree: Callable[..., Path], mode: str) -> None:
    def save(path: Path) -> None:
        Image.open(path).convert(mode).save(path)

    root = tree()
    plain = open_dataset(root).pixels(np.arange(8))
    assert np.array_equal(spoil_film(root, save).pixels(np.arange(8)), plain)
