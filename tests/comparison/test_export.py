"""Tables for other programs, read back by a library that did not write them."""

from __future__ import annotations

import csv
import resource
from pathlib import Path

import pandas
import pytest

from zobench.comparison.export import check_target, write_table
from zobench.errors import ConfigError, StoreError

ROWS = [{"optimizer": 'a,"b"', "seed": 0, "fpq": 0.1}, {"optimizer": "ö", "seed": 1, "fpq": -1e-17}]


def test_csv_keeps_every_digit_and_every_letter(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ROWS)
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    read = [{**row, "seed": int(row["seed"]), "fpq": float(row["fpq"])} for row in found]
    assert read == ROWS


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_names_of_files_that_are_no_utf_8_are_written_nearly(tmp_path: Path, name: str) -> None:
    if name == "t.parquet":
        pytest.importorskip("pyarrow")
    write_table(tmp_path / name, [{"run_dir": "bad\udcff", "seed": 0}])
    found = (
        pandas.read_csv(tmp_path / name)
        if name == "t.csv"
        else pandas.read_parquet(tmp_path / name)
    )
    assert found.to_dict("records") == [{"run_dir": "bad?", "seed": 0}]


def test_parquet_keeps_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    check_target(tmp_path / "t.parquet")
    write_table(tmp_path / "t.parquet", ROWS)
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == ROWS


def test_parquet_without_pyarrow_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"zobench\[parquet\]"):
        check_target(tmp_path / "t.parquet")


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "t.csv").touch()
    with pytest.raises(ConfigError, match="--force"):
        check_target(tmp_path / "t.csv")
    check_target(tmp_path / "t.csv", force=True)
    with pytest.raises(StoreError, match="cannot write"):
        write_table(tmp_path / "nowhere" / "t.csv", ROWS)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_that_does_not_fit_on_the_disk_replaces_nothing(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    rows = [{"number": number, "text": f"{number**9}"} for number in range(10_000)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # a file cannot grow beyond it
    try:
        with pytest.raises(StoreError, match="what was stored before is safe"):
            write_table(path, rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert path.read_text() == "before"
