"""Every dataset in the registry keeps the contract of datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zobench.contracts.dataset import Dataset, DatasetRequest
from zobench.errors import ConfigError
from zobench.registry.discovery import load_registry

NAMES = sorted(load_registry().offers["datasets"])
DISEASES = {"phantom": "edema", "nih": "pneumonia", "chexpert": "pneumonia"}
SETTINGS = {"phantom": {"patients": 24}, "nih": {}, "chexpert": {}}
ROOTS = {"nih": "films_root", "chexpert": "chexpert_root"}
"""Examples of each dataset: disease, settings and root; a dataset without them fails."""

SIZE = 64


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def root(name: str, request: pytest.FixtureRequest) -> Path | None:
    found: Path | None = request.getfixturevalue(ROOTS[name]) if name in ROOTS else None
    return found


def make(name: str, root: Path | None, cache: Path, disease: str = "") -> Dataset:
    offer, argument = load_registry().find("datasets", name)
    request = DatasetRequest(disease or DISEASES[name], root, SIZE, cache, argument)
    dataset: Dataset = offer.plugin.make(request, SETTINGS[name], "dataset")
    return dataset


def test_each_has_an_example_here() -> None:
    assert set(DISEASES) == set(NAMES)


def test_columns_are_equally_long_and_binary(name: str, root: Path | None, tmp_path: Path) -> None:
    records = make(name, root, tmp_path).records
    for column in ("patient", "label", "sensitive", "age", "view"):
        assert len(getattr(records, column)) == len(records) > 0
    for column in (records.label, records.sensitive):
        assert set(np.unique(column)) == {0, 1}


def test_a_patient_has_one_sex(name: str, root: Path | None, tmp_path: Path) -> None:
    records = make(name, root, tmp_path).records
    pairs = {
        (p, a) for p, a in zip(records.patient.tolist(), records.sensitive.tolist(), strict=True)
    }
    assert len(pairs) == len(np.unique(records.patient))


def test_pixels_come_in_the_order_asked_for(name: str, root: Path | None, tmp_path: Path) -> None:
    dataset = make(name, root, tmp_path)
    told: list[tuple[int, int]] = []
    rows = np.array([3, 0, 5, 0])
    pixels = dataset.pixels(rows, lambda done, total: told.append((done, total)))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, *dataset.spec.shape)
    assert told[-1][0] == told[-1][1]
    assert np.array_equal(pixels[1], pixels[3])
    assert not np.array_equal(pixels[0], pixels[1])
    assert np.array_equal(pixels[0], dataset.pixels(np.array([3]))[0])


def test_two_of_a_request_are_the_same(name: str, root: Path | None, tmp_path: Path) -> None:
    one, two = (make(name, root, tmp_path / folder) for folder in "ab")
    assert one.spec == two.spec
    assert np.array_equal(one.records.patient, two.records.patient)
    rows = np.array([1, 2])
    assert np.array_equal(one.pixels(rows), two.pixels(rows))


def test_an_unknown_disease_is_named(name: str, root: Path | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gout"):
        make(name, root, tmp_path, disease="gout")
