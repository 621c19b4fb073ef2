"""CheXpert's layout with NIH's real films, and small folders with deliberate faults."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from zobench_plugins.datasets.chexpert.dataset import CheXpertDataset
from zobench_plugins.datasets.chexpert.table import FINDINGS, CheXpertParameters

from zobench.contracts.dataset import DatasetRequest
from zobench.errors import ConfigError, DatasetError

HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", *FINDINGS]
Row = dict[str, str]


def row(patient: int, study: int = 1, view: str = "frontal", **values: str) -> Row:
    path = f"CheXpert-v1.0-small/train/patient{patient:05d}/study{study}/view1_{view}.jpg"
    projection = "PA" if view == "frontal" else ""
    basic = {"Path": path, "Sex": "Female" if patient % 2 else "Male", "Age": str(30 + patient)}
    return {**basic, "Frontal/Lateral": view.title(), "AP/PA": projection, **values}


def write(root: Path, rows: list[Row], films: bool = True, header: list[str] = HEADER) -> Path:
    """Writes a table and its films to a folder whose name differs from the published one."""
    root.mkdir(exist_ok=True)
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, header, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for number, each in enumerate(rows if films else ()):
        path = root / each["Path"].split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.full((40, 30), (7 * number) % 250, np.uint8)
        Image.fromarray(grey).save(path, quality=95)
    return root


def good() -> list[Row]:
    """Two patients in each cell of (edema, sex), and two films that are left out by default."""
    rows = [row(n, **({"Edema": "1.0"} if n // 2 % 2 else {"No Finding": "1.0"})) for n in range(8)]
    return [*rows, row(8, Edema="0.0"), row(9, view="lateral", Edema="1.0")]


def dataset(root: Path, disease: str = "edema", size: int = 32, **chosen: Any) -> CheXpertDataset:
    request = DatasetRequest(disease, root, size, Path(os.environ["ZOBENCH_CACHE"]))
    return CheXpertDataset(request, CheXpertParameters(**chosen))


def test_real_films_in_this_layout_have_the_cells_of_their_archive(chexpert_root: Path) -> None:
    found = dataset(chexpert_root, "pneumonia")
    records = found.records
    assert np.bincount(2 * records.label + records.sensitive).tolist() == [186, 159, 111, 181]
    assert len(np.unique(records.patient)) < len(records)
    rows = np.array([600, 3, 3, 50])
    films = found.pixels(rows)
    assert films.shape == (4, 1, 32, 32)
    assert np.array_equal(films[1], films[2])
    assert films.std() > 20
    assert found.pixels(rows[:0]).shape == (0, 1, 32, 32)
    assert (
        dataset(chexpert_root.parent, "pneumonia").spec == found.spec
    )  # the parent folder also works


def test_policies_for_uncertain_labels(tmp_path: Path) -> None:
    rows = [*good(), row(20, Edema="-1.0"), row(21, Edema="-1.0")]
    rows += [row(22 + n, Pneumonia="1.0") for n in range(2)]
    rows += [row(24, Pneumonia="-1.0")]
    root = write(tmp_path / "any", rows)

    def counts(disease: str = "edema", **chosen: Any) -> list[int]:
        return np.bincount(dataset(root, disease, **chosen).records.label).tolist()

    assert counts() == [4, 6]  # default for edema: uncertain labels are positive
    assert counts(uncertain="zeros") == counts(uncertain="ignore") == [4, 4]
    assert counts("pneumonia") == [4, 2]  # default: uncertain labels are negative
    assert counts("pneumonia", uncertain="ones") == [4, 3]
    everything = len(rows) - 1  # all films except the lateral one
    assert counts(uncertain="zeros", negatives="absent") == [everything - 4, 4]
    assert counts(uncertain="ignore", negatives="absent") == [everything - 6, 4]


def test_views_lists_and_other_attributes(tmp_path: Path) -> None:
    rows = good()
    rows[0]["AP/PA"] = "AP"
    root = write(tmp_path / "any", rows)
    assert len(dataset(root).records) == 8
    assert len(dataset(root, view="any").records) == 9
    assert len(dataset(root, view="PA").records) == 7
    old = dataset(root, sensitive="age", age=34)
    assert old.spec.groups == ("under 34", "34 and older")
    assert (old.records.sensitive == (old.records.age >= 34)).all()
    chosen = tmp_path / "rows.txt"
    chosen.write_text("\n".join(f"elsewhere/{each['Path'].split('/', 1)[1]}" for each in rows[:4]))
    assert len(dataset(root, rows=str(chosen)).records) == 4
    chosen.write_text("train/patient99999/study1/view1_frontal.jpg")
    with pytest.raises(DatasetError, match="names 1 films that are not among"):
        dataset(root, rows=str(chosen))


def test_race_comes_from_the_demographics(tmp_path: Path) -> None:
    root = write(tmp_path / "any", good())
    with pytest.raises(ConfigError, match="PRIMARY_RACE"):
        dataset(root, sensitive="race")
    table = tmp_path / "demo.csv"
    lines = [
        f'patient{n:05d},"{["White, non-Hispanic", "Black", "Asian"][n % 3]}"' for n in range(8)
    ]
    table.write_text("\n".join(["PATIENT,PRIMARY_RACE", *lines]))
    found = dataset(root, sensitive="race", demographics=str(table))
    assert found.spec.groups == ("White", "Black")
    assert (found.records.patient % 3 == found.records.sensitive).all()
    assert len(found.records) == 6
    assert found.spec.notes[0].startswith(
        "2 of 8 films are left out, because their patient's race is"
    )
    table.write_text("\n".join(["PATIENT,PRIMARY_RACE", *lines]).replace('"', ""))
    with pytest.raises(
        DatasetError, match=r"names 2 columns, but line 2 has 3 cells; .* quotation marks"
    ):
        dataset(root, sensitive="race", demographics=str(table))
    table.write_text("\n".join(["PATIENT,PRIMARY_RACE", *lines, "patient00000,Black"]))
    with pytest.raises(DatasetError, match="patients with both White and Black: 0"):
        dataset(root, sensitive="race", demographics=str(table))
    table.write_text("\n".join(["PATIENT,PRIMARY_RACE", *lines, f"patient{9:025},Black"]))
    with pytest.raises(DatasetError, match="has more than 18 digits"):
        dataset(root, sensitive="race", demographics=str(table))


def test_a_table_with_another_spelling_of_sex_is_told_which_it_has(tmp_path: Path) -> None:
    rows = good()
    for each in rows:
        each["Sex"] = each["Sex"][0]
    with pytest.raises(
        DatasetError, match=r"Sex is neither Female nor Male.*, such as 'M': .* and 3 more"
    ):
        dataset(write(tmp_path / "any", rows))


Spoil = Callable[[list[Row]], None]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[2].update({"No Finding": "1.0"}), "both being 1.*patient00002"),
        (lambda rows: rows[1].update({"Edema": "2.0"}), "'Edema' is not 1, 0, -1 or blank.*00001"),
        (lambda rows: rows[1].update({"Edema": "yes"}), "'Edema' is not 1, 0, -1 or blank.*00001"),
        (lambda rows: rows[1].update({"No Finding": "x"}), "'No Finding' is not 1.*00001"),
        (lambda rows: rows[1].update(Age="old"), "Age is not a number.*00001"),
        (lambda rows: rows[3].update(Path="train/film.jpg"), "no patient can be read"),
        (lambda rows: rows.append({**rows[0], "Edema": "1.0", "No Finding": ""}), "there twice"),
        (lambda rows: rows.append({**row(0, 2, Edema="1.0"), "Sex": "Female"}), "not the same on"),
        (lambda rows: rows.append({**rows[0], "Sex": "Female"}), "there twice with another sex"),
        (lambda rows: rows.append({**rows[0], "Age": "80"}), "there twice with another age"),
        (lambda rows: rows[1].update(Age="inf"), "not a number of years from 0 to 150.*00001"),
        (lambda rows: rows[1].update(Age="900"), "not a number of years from 0 to 150.*00001"),
        (lambda rows: rows[3].update(Path=f"train/patient{9:025}/a.jpg"), "no patient can be read"),
        (
            lambda rows: rows.__delitem__(slice(2, 8, 2)),
            "no image in the cell male with Edema",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, spoil: Spoil, words: str) -> None:
    rows = good()
    spoil(rows)
    root = write(tmp_path / "any", rows)
    with pytest.raises(DatasetError, match=words):
        dataset(root)


def test_devices_are_no_finding_and_count(tmp_path: Path) -> None:
    rows = good()
    for each in rows[:2]:
        each["Support Devices"] = "1.0"
    rows += [row(20 + n, **{"Support Devices": "1.0"}) for n in range(2)]
    records = dataset(write(tmp_path / "any", rows), "support_devices").records
    assert np.bincount(records.label).tolist() == [2, 4]


def test_one_of_several_archives_must_be_named(tmp_path: Path) -> None:
    for name in ("CheXpert-v1.0", "CheXpert-v1.0-small"):
        write(tmp_path / name, good(), films=False)
    with pytest.raises(ConfigError, match="several archives"):
        dataset(tmp_path)


def test_a_person_of_unknown_sex_is_left_out(tmp_path: Path) -> None:
    rows = good()
    rows[0]["Sex"] = "Unknown"
    found = dataset(write(tmp_path / "any", rows))
    assert len(found.records) == 7
    assert re.match(r"1 of 8 films .* sex is unknown; .*patient00000", found.spec.notes[0])


@pytest.mark.parametrize("blank", ["NA", "NaN", "nan"])
def test_a_blank_may_be_written_in_words(tmp_path: Path, blank: str) -> None:
    rows = [{name: each.get(name) or blank for name in HEADER} for each in good()]
    rows[0]["Sex"] = blank
    found = dataset(write(tmp_path / "any", rows))
    assert len(found.records) == 7
    assert "sex is unknown" in found.spec.notes[0]


def test_one_row_with_another_spelling_of_sex_is_not_left_out_in_silence(tmp_path: Path) -> None:
    rows = good()
    rows[0]["Sex"] = "M"
    with pytest.raises(DatasetError, match=r"such as 'M': .*patient00000.*frontal\.jpg$"):
        dataset(write(tmp_path / "any", rows))


def test_a_missing_column_folder_or_finding_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "any", good(), header=[name for name in HEADER if name != "Edema"])
    with pytest.raises(DatasetError, match="no column 'Edema'"):
        dataset(root)
    with pytest.raises(ConfigError, match="did you mean 'edema'"):
        dataset(root, "oedema")
    with pytest.raises(DatasetError, match=r"train\.csv is missing"):
        dataset(tmp_path / "any" / "train")
    request = DatasetRequest("edema", None, 32, tmp_path)
    with pytest.raises(ConfigError, match="--data-root"):
        CheXpertDataset(request, CheXpertParameters())


def test_missing_films_are_counted_and_allowed_up_to_a_share(tmp_path: Path) -> None:
    root = write(tmp_path / "any", good())
    next(root.glob("train/patient00003/*/*.jpg")).unlink()
    with pytest.raises(DatasetError, match=r"1 of 8 films are missing or unreadable.*patient00003"):
        dataset(root, missing=0.1)
    found = dataset(root)
    assert len(found.records) == 7
    assert re.search(r"1 of 8 films are left out.*patient00003", found.spec.notes[0])
    for path in root.glob("train/*/*/*.jpg"):
        path.unlink()
    with pytest.raises(DatasetError, match="none of the 8 films that the tables name is there"):
        dataset(root)


def test_unreadable_films_are_all_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "any", good())
    for number in (1, 2):
        path = next(root.glob(f"train/patient{number:05d}/*/*.jpg"))
        path.write_bytes(path.read_bytes()[:50])
    found = dataset(root)
    with pytest.raises(DatasetError, match=r"2 images cannot be used(.|\n)*patient00001"):
        found.pixels(np.arange(8))
    with pytest.raises(DatasetError, match="2 of 8 films are missing or unreadable"):
        dataset(root, missing=0)
    rest = dataset(root)
    assert rest.pixels(np.arange(6)).shape == (6, 1, 32, 32)
    path.write_bytes(next(root.glob("train/patient00003/*/*.jpg")).read_bytes())
    assert "1 of 8 films" in dataset(root).spec.notes[0]  # a repaired film is read again
    assert found.pixels(np.array([0, 3])).shape == (2, 1, 32, 32)


def test_a_film_is_decoded_once_and_a_damaged_cache_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("ZOBENCH_CACHE", str(cache))
    root = write(tmp_path / "any", good())
    told: list[tuple[int, int]] = []
    first = dataset(root).pixels(np.arange(4), lambda *now: told.append(now))
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)
    told.clear()
    again = dataset(root).pixels(np.arange(6), lambda *now: told.append(now))
    assert told[0] == (4, 6)
    assert np.array_equal(again[:4], first)
    (films,) = cache.glob("chexpert/*/films.bin")
    content = bytearray(films.read_bytes())
    content[5] ^= 255
    films.write_bytes(content)
    told.clear()
    assert np.array_equal(dataset(root).pixels(np.arange(6), lambda *now: told.append(now)), again)
    assert told[0] == (5, 6)
