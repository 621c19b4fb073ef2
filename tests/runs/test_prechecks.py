"""The user is told what a dataset cannot give before the encoder, which may take long, is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import SIZES, tiny_registry

import zobench
from zobench.errors import ZobenchError


def not_to_be_loaded(request: object) -> Any:
    raise AssertionError("the encoder was loaded")


def refused(tmp_path: Path, **fields: Any) -> str:
    """The error of a run whose encoder must not be loaded."""
    registry = tiny_registry(encoder=not_to_be_loaded)
    with pytest.raises(ZobenchError) as error:
        zobench.run(
            out=tmp_path / "runs",
            registry=registry,
            optimizer="random",
            encoder="tiny",
            overrides=SIZES,
            **fields,
        )
    return str(error.value)


def test_a_mistyped_disease_of_the_phantoms(tmp_path: Path) -> None:
    assert "did you mean 'edema'" in refused(tmp_path, dataset="phantom", disease="edma")


@pytest.mark.parametrize("dataset", ["nih", "chexpert", "table"])
def test_a_folder_that_is_not_given_or_not_there(dataset: str, tmp_path: Path) -> None:
    assert "needs --data-root" in refused(tmp_path, dataset=dataset)
    missing = tmp_path / "missing"
    assert f"{str(missing)!r}" in refused(tmp_path, dataset=dataset, data_root=missing)


def test_a_finding_that_the_table_of_the_films_lacks(films_root: Path, tmp_path: Path) -> None:
    said = refused(tmp_path, dataset="nih", data_root=films_root, disease="efusion")
    assert "'efusion'" in said
    assert "did you mean 'effusion'" in said


def test_an_archive_without_its_table(tmp_path: Path) -> None:
    for dataset, name in (("nih", "Data_Entry_2017.csv"), ("chexpert", "train.csv")):
        said = refused(tmp_path, dataset=dataset, data_root=tmp_path, disease="edema")
        assert name in said
        assert "missing" in said
    assert "no tables" in refused(tmp_path, dataset="table", data_root=tmp_path)


def test_a_dataset_that_has_no_precheck_is_asked_after_the_encoder(tmp_path: Path) -> None:
    assert "the encoder was loaded" in refused(tmp_path, dataset="tiny", disease="none such")
