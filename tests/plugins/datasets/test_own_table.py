"""``table``: what it reads of a table, and what it says of every kind of broken table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from tables import Row, opened, rows, write
from zobench_plugins.datasets.columns.conditions import parsed_all

from zobench.errors import ConfigError, DatasetError


def test_columns_values_and_order_are_those_that_were_named(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    dataset = opened(root, tmp_path, group="woman|man")
    assert dataset.spec.groups == ("woman", "man")
    assert dataset.records.sensitive.tolist() == [1, 0] * 8
    assert dataset.records.label.tolist() == [0, 0, 1, 1] * 4
    assert dataset.records.age.tolist() == list(range(30, 46))
    assert dataset.records.view[:2].tolist() == ["AP", "AP"]
    assert dataset.records.image[3] == "films/film-003.png"
    assert len(np.unique(dataset.records.patient)) == 16
    assert dataset.spec.bias == "as-is"
    with Image.open(root / "films" / "film-002.png") as film:
        wanted = np.asarray(film.resize((16, 16), Image.Resampling.LANCZOS))
    assert np.array_equal(dataset.pixels(np.array([2]))[0, 0], wanted)


@pytest.mark.parametrize(
    ("settings", "label", "sensitive"),
    [
        ({"label": "dx in mel", "positive": ""}, [0, 0, 1, 1], [0, 1, 0, 1]),
        ({"label": "dx != nv", "positive": ""}, [0, 0, 1, 1], [0, 1, 0, 1]),
        ({"label": "dx not in nv", "positive": ""}, [0, 0, 1, 1], [0, 1, 0, 1]),
        ({"sensitive": "age>=38"}, [0, 0, 1, 1], [0, 0, 0, 0]),
        ({"sensitive": "view==AP"}, [0, 0, 1, 1], [1, 1, 1, 1]),
        ({"sensitive": "GENDER"}, [0, 0, 1, 1], [0, 1, 0, 1]),
    ],
)
def test_conditions_and_columns_in_any_capitals_decide(
    tmp_path: Path, settings: dict[str, str], label: list[int], sensitive: list[int]
) -> None:
    found = opened(write(tmp_path / "data", rows()), tmp_path, **settings).records
    assert found.label[:4].tolist() == label
    assert found.sensitive[:4].tolist() == sensitive


def test_age_strings_of_dicom_compare_in_years(tmp_path: Path) -> None:
    table = rows()
    ages = ["080Y", "006M", "104W", "700D", "17Y", *["064Y"] * 5, *["065Y"] * 6]
    for row, age in zip(table, ages, strict=True):
        row["age"] = age
    root = write(tmp_path / "data", table)
    found = opened(root, tmp_path, where="age>=1.95", missing="skip", sensitive="age>=65")
    assert found.records.image[:3].tolist() == [f"films/film-{n:03d}.png" for n in (0, 2, 5)]
    assert found.records.sensitive.tolist() == [1, *[0] * 6, *[1] * 6]
    assert "1 whose age of the condition age>=1.95 is blank or no number" in found.spec.notes[0]


def test_groups_of_a_condition_are_named_after_it(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    assert opened(root, tmp_path, sensitive="age >= 38").spec.groups == ("age<38", "age>=38")


def test_a_patients_images_may_lie_on_both_sides_of_a_number_only(tmp_path: Path) -> None:
    table = rows()
    for row in table:
        row["person"] = f"P{int(row['age']) % 4}"
    root = write(tmp_path / "data", table)
    assert len(opened(root, tmp_path, sensitive="age>=38").records) == 16
    with pytest.raises(DatasetError, match=r"patients have images in both groups \(name another"):
        opened(root, tmp_path, sensitive="view==AP")


def test_where_filters_and_a_third_value_is_left_out_and_counted(tmp_path: Path) -> None:
    table = rows(24)
    for row in table[20:22]:
        row["dx"] = "bcc"
    root = write(tmp_path / "data", table)
    found = opened(root, tmp_path, negative="nv", where="view==PA and age<52")
    assert set(found.records.view) == {"PA"}
    assert found.records.age.max() < 52
    (note,) = found.spec.notes
    assert "2 with other values of finding or attribute" in note


def test_a_column_of_yes_and_no_needs_no_values_and_is_found_by_the_disease(tmp_path: Path) -> None:
    table = rows()
    for row in table:
        row["Pleural Effusion"] = "Yes" if row["dx"] == "mel" else "no"
    root = write(tmp_path / "data", table)
    found = opened(root, tmp_path, "pleural_effusion", label="", positive="")
    assert found.records.label.tolist() == [0, 0, 1, 1] * 4


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_delimiters_and_a_byte_order_mark_make_no_difference(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    root = write(tmp_path / "data", rows(), delimiter, encoding=encoding)
    plain = write(tmp_path / "plain", rows())
    assert opened(root, tmp_path).spec == opened(plain, tmp_path).spec


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    csv = opened(root, tmp_path).records
    table = pandas.DataFrame(rows()).astype({"age": "int64"})
    table["share"] = 1.5
    table.to_parquet(root / "labels.parquet")
    (root / "labels.csv").unlink()
    found = opened(root, tmp_path, where="age >= 30 and share == 1.5").records
    assert found.age.tolist() == csv.age.tolist()
    assert found.image.tolist() == csv.image.tolist()


def test_incomplete_rows_are_left_out_and_counted_when_that_is_asked_for(tmp_path: Path) -> None:
    table = rows(24)
    table[0]["dx"], table[1]["gender"], table[2]["person"] = "", "unknown", "NA"
    root = write(tmp_path / "data", table)
    (root / "films" / "film-005.png").unlink()
    with pytest.raises(DatasetError) as caught:
        opened(root, tmp_path)
    for words in (
        "4 problems:",
        "1 row (line 2): the finding is blank",
        "1 row (line 3): the attribute is blank",
        "1 row (line 4): the patient is blank",
        "1 row (line 7): the image has no file; --set dataset.missing=skip leaves them out",
    ):
        assert words in str(caught.value)
    found = opened(root, tmp_path, missing="skip")
    assert len(found.records) == 20
    assert found.spec.notes[0].count("1 whose") == 4


def test_lines_are_those_of_the_file_where_cells_hold_line_breaks(tmp_path: Path) -> None:
    table = rows(24)
    for number, row in enumerate(table):
        row["note"] = "one\ntwo" if number < 3 else ""
    table[4]["dx"] = ""
    root = write(tmp_path / "data", table)
    (path,) = root.glob("*.csv")
    lines = path.read_text().splitlines()
    (found,) = (number for number, line in enumerate(lines, 1) if "film-004" in line)
    with pytest.raises(DatasetError, match=rf"\(line {found}\): the finding is blank"):
        opened(root, tmp_path)
    assert found == 9


def spoiled(change: Callable[[list[Row]], None]) -> list[Row]:
    table = rows()
    change(table)
    return table


def setting(row: int, column: str, value: str) -> list[Row]:
    return spoiled(lambda table: table[row].__setitem__(column, value))


BROKEN: dict[str, tuple[list[Row], dict[str, str], str]] = {
    "no image column": (rows(), {"image": "pictur"}, "names the column 'pictur'"),
    "no label column": (rows(), {"label": "dxx"}, r"'dxx' \(did you mean 'dx'\?\)"),
    "no attribute column": (rows(), {"sensitive": "sex"}, "names the column 'sex'"),
    "no patient column": (rows(), {"patient": "patient"}, "names the column 'patient'"),
    "an image twice": (setting(3, "file", "film-002.png"), {}, r"2 rows \(lines 4, 5\): the image"),
    "a patient in both groups": (
        setting(3, "person", "P002"),
        {},
        "1 patient has images in both groups .*: P002",
    ),
    "no such file": (setting(3, "file", ""), {}, r"1 row \(line 5\): the image is blank"),
    "one class": (
        spoiled(lambda table: [row.update(dx="mel") for row in table]),
        {},
        "no image in the cells man without the finding, woman without the finding",
    ),
    "one group": (
        spoiled(lambda table: [row.update(gender="man") for row in table]),
        {},
        r"which has man \(16\); name the two groups",
    ),
    "three groups": (setting(0, "gender", "other"), {}, "name the two groups to compare"),
    "an unknown group": (rows(), {"group": "man|men"}, "names 'men', but no row"),
    "an unknown value": (rows(), {"positive": "melanoma"}, "names 'melanoma', which no row"),
    "values with a comma": (
        rows(),
        {"where": "view in AP, PA"},
        r"'AP, PA', which no row .* has; several values are written AP\|PA; it has",
    ),
    "no value named": (rows(), {"positive": ""}, "not 1 and 0, true and false or yes and no"),
    "nothing left": (rows(), {"where": "age>99"}, "no row fulfils dataset.where=age>99"),
    "a condition on an unknown value": (
        rows(),
        {"where": "view==pa"},
        r"view==pa names 'pa', which no row of column 'view' has; it has AP \(8\), PA \(8\)",
    ),
    "a condition without a value": (rows(), {"where": "view=="}, "needs a value after =="),
    "negative alone": (rows(), {"positive": "", "negative": "nv"}, "name both, or positive alone"),
    "a wrong condition": (rows(), {"where": "view is PA"}, "a condition is written"),
    "a condition without a number": (rows(), {"where": "age>old"}, "number, not with 'old'$"),
    "conditions joined by another word": (
        rows(),
        {"where": "age>40 or view==PA"},
        r"not with '40 or view==PA'; conditions are joined by 'and' alone",
    ),
    "a condition and values": (
        rows(),
        {"label": "dx==mel"},
        "leave dataset.positive and dataset.negative out",
    ),
    "blank labels": (setting(2, "dx", " "), {}, r"line 4\): the finding is blank"),
    "an age that is none": (
        setting(2, "age", "old"),
        {"sensitive": "age>=38"},
        r"line 4\): the attribute is blank or no value",
    ),
    "no folder": (rows(), {"folder": "pictures"}, "dataset.folder is 'pictures'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_table_is_one_message(tmp_path: Path, kind: str) -> None:
    table, settings, words = BROKEN[kind]
    root = write(tmp_path / "data", table)
    with pytest.raises(DatasetError, match=words) as caught:
        opened(root, tmp_path, **settings)
    assert caught.value.exit_code == 2
    assert "labels.csv cannot be used, 1 problem" in str(caught.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    table = rows()
    table[3]["file"], table[5]["person"], table[8]["dx"] = "film-002.png", "P004", ""
    root = write(tmp_path / "data", table)
    for number in (10, 11, 12, 13, 14, 15):
        (root / "films" / f"film-{number:03d}.png").unlink()
    with pytest.raises(DatasetError) as caught:
        opened(root, tmp_path)
    message = str(caught.value)
    assert "4 problems" in message
    assert "6 rows (lines 12, 13, 14, 15, 16 and 1 more): the image has no file" in message


def test_files_that_are_no_table_are_named(tmp_path: Path) -> None:
    def refuses(words: str, **settings: str) -> None:
        with pytest.raises((ConfigError, DatasetError), match=words) as caught:
            opened(tmp_path / "data", tmp_path, **settings)
        assert caught.value.exit_code == 2

    refuses("which is not a folder")
    (tmp_path / "data").mkdir()
    refuses("holds no tables; name the table with --set dataset.file")
    path = tmp_path / "data" / "labels.csv"
    path.write_text("")
    refuses("has no header: its first line is blank")
    path.write_text("file,person,dx\n")
    refuses("has no rows below its header")
    path.write_text("file,dx,dx\na.png,1,2\n")
    refuses("several columns of one name: dx")
    path.write_bytes("file,person\na.png,Jos\xe9\n".encode("latin-1"))
    refuses(r"is not in UTF-8 \(byte 21, in line 2, is 0xe9\); save it as UTF-8")
    path.write_text("file,person\na.png,1\n", encoding="utf-16")
    refuses(r"is not in UTF-8 \(it is in UTF-16, .*\); save it as UTF-8")
    path.write_bytes(b"file,person\ra.png,1\r")
    refuses("lines that end in a carriage return alone; save it with")
    path.write_text("file,dx\na.png,1\nb.png,1,2,3\n")
    refuses("its header names 2 columns, but line 3 has 4 cells")
    (tmp_path / "data" / "more.tsv").write_text("file\n")
    refuses("holds 2 tables: labels.csv, more.tsv")
    refuses("is not a file", file="other.csv")
    (tmp_path / "data" / "labels.xlsx").write_text("x")
    refuses("must be a .csv, .tsv, .txt or .parquet file", file="labels.xlsx")
    (tmp_path / "data" / "broken.parquet").write_text("x")
    refuses("is not a readable parquet file", file="broken.parquet")


def test_the_default_disease_is_no_name_for_another_finding(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    with pytest.raises(DatasetError, match="needs a name for the results: --disease NAME"):
        opened(root, tmp_path, "edema")


def test_a_value_that_a_setting_names_is_not_blank(tmp_path: Path) -> None:
    table = rows()
    for row in table:
        row["dx"] = "None" if row["dx"] == "nv" else "mel"
    root = write(tmp_path / "data", table)
    assert opened(root, tmp_path, negative="None").records.label.tolist() == [0, 0, 1, 1] * 4
    with pytest.raises(DatasetError, match="the finding is blank"):
        opened(root, tmp_path)


def test_names_and_values_may_hold_the_words_of_conditions(tmp_path: Path) -> None:
    table = rows()
    for number, row in enumerate(table):
        row["Age in years"] = row["age"]
        row["race"] = "Black and Brown" if number % 4 < 2 else "White"
        row["stage"] = "1.0" if number % 2 else "2.0"
        row["rise and fall"] = "3"
    root = write(tmp_path / "data", table)
    found = opened(root, tmp_path, sensitive="Age in years >= 38")
    assert found.spec.groups == ("Age in years<38", "Age in years>=38")
    kept = opened(
        root,
        tmp_path,
        sensitive="stage==1",
        label="race==Black and Brown",
        positive="",
        where="race in Black and Brown|White and Age in years < 40 and rise AND fall>=3",
    )
    assert kept.records.label.tolist() == [1, 1, 0, 0] * 2 + [1, 1]
    pieces = parsed_all("where", "site == A and B == 1", ["site", "B", "A and B"])
    assert [(each.column, each.values) for each in pieces] == [("site", ("A",)), ("B", ("1",))]
    assert kept.records.sensitive.tolist() == [0, 1] * 5


def test_a_blank_in_a_condition_is_an_incomplete_row(tmp_path: Path) -> None:
    table = rows(20)
    table[0]["age"], table[1]["age"] = "", "90+"
    root = write(tmp_path / "data", table)
    with pytest.raises(DatasetError, match=r"lines 2, 3\): the age of the condition age>=18"):
        opened(root, tmp_path, where="age>=18")
    found = opened(root, tmp_path, where="age>=18", missing="skip")
    assert len(found.records) == 18
    assert "2 whose age of the condition age>=18 is blank or no number" in found.spec.notes[0]


def test_ages_have_units_and_impossible_ones_are_unknown(tmp_path: Path) -> None:
    table = rows()
    for row, age in zip(table, ["054Y", "006M", "104W", "12345678901234567890"], strict=False):
        row["age"] = age
    ages = opened(write(tmp_path / "data", table), tmp_path).records.age
    assert ages[:4].tolist() == [54, 0, 1, -1]


def test_parquet_with_an_index_and_categories_is_read(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    table = pandas.DataFrame(rows())
    table["gender"] = table["gender"].astype("category")
    table.loc[0, "view"] = None
    table["view"] = table["view"].astype("category")
    table.set_index("file").to_parquet(root / "labels.parquet")
    (root / "labels.csv").unlink()
    assert opened(root, tmp_path).records.view[:2].tolist() == ["", "AP"]


@pytest.mark.parametrize("line", [1, 3])
def test_a_row_with_too_many_fields_is_an_error(tmp_path: Path, line: int) -> None:
    root = write(tmp_path / "data", rows())
    lines = (root / "labels.csv").read_text().splitlines()
    lines[line] += ",more"
    (root / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match="cannot be read as a table"):
        opened(root, tmp_path)


def test_a_value_that_a_condition_names_stays_blank_in_other_columns(tmp_path: Path) -> None:
    table = rows(24)
    for number in (0, 1):
        table[number]["gender"] = "unknown"
    for number in (4, 5, 6):
        table[number]["dx"] = "unknown"
    root = write(tmp_path / "data", table)
    settings = {"label": "dx in mel", "positive": "", "group": "man|woman", "missing": "skip"}
    by_name, by_groups = (
        opened(root, tmp_path, where=where, **settings)
        for where in ("gender != unknown", "gender in man|woman")
    )
    assert by_name.records.image.tolist() == by_groups.records.image.tolist()
    assert len(by_name.records) == 24 - 2 - 3
    with pytest.raises(DatasetError, match="the finding is blank or no value"):
        opened(root, tmp_path, where="gender != unknown", **{**settings, "missing": "error"})
