"""The tests that every dataset must pass, for built-in datasets and plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np

from zobench.contracts.dataset import Dataset, DatasetRequest, Records, Rows
from zobench.errors import ConfigError, DatasetError, ZobenchError
from zobench.registry.discovery import Registry

from .installed import installed

NO_DISEASE = "no-such-disease"


class DatasetConformance:
    """Tests of the dataset contract; subclass it, set ``name`` and ``disease``.

    Attributes:
        name: The name of the dataset, as given to ``--dataset``.
        disease: A finding that the dataset has.
        root: The folder given to ``--data-root``, or ``None``.
        overrides: Parameters other than the defaults; choose a small dataset.
        size: Side of the images in pixels.
    """

    name: ClassVar[str]
    disease: ClassVar[str]
    root: ClassVar[Path | None] = None
    overrides: ClassVar[Mapping[str, object]] = {}
    size: ClassVar[int] = 64

    def registry(self) -> Registry:
        """The registry that holds the dataset; by default all installed plugins."""
        return installed()

    def make(self, cache: Path, disease: str = "") -> Dataset:
        """The dataset under test, with a cache folder of its own."""
        offer, argument = self.registry().find("datasets", self.name)
        request = DatasetRequest(disease or self.disease, self.root, self.size, cache, argument)
        dataset: Dataset = offer.plugin.make(request, self.overrides, "dataset")
        return dataset

    def prepare(self) -> None:
        """Makes the dataset once, so that a wrong folder or setting is one error before the checks."""
        with TemporaryDirectory() as cache:
            self.make(Path(cache))

    def test_columns_are_equally_long_and_binary(self) -> None:
        """All columns of ``records`` have one entry an image; label and sensitive are int64, 0 or 1."""
        with TemporaryDirectory() as cache:
            records = self.make(Path(cache)).records
        for column in ("patient", "label", "sensitive", "age", "view"):
            length = len(getattr(records, column))
            assert length == len(records) > 0, f"{column} has {length} entries, not {len(records)}"
        for column in ("patient", "label", "sensitive"):
            kind = getattr(records, column).dtype
            assert kind == np.int64, f"{column} is {kind}, but must be int64"
        for column in ("label", "sensitive"):
            values = set(np.unique(getattr(records, column)).tolist())
            assert values == {0, 1}, f"{column} holds {values}, but must hold 0 and 1"

    def test_a_patient_is_in_one_group(self) -> None:
        """All images of a patient have the same sensitive attribute."""
        with TemporaryDirectory() as cache:
            records = self.make(Path(cache)).records
        pairs = set(zip(records.patient.tolist(), records.sensitive.tolist(), strict=True))
        patients = len(np.unique(records.patient))
        assert len(pairs) == patients, "a patient has images in both groups"

    def test_pixels_come_in_the_order_asked_for(self) -> None:
        """Pixels are 8-bit of ``spec.shape``, in the order of the rows, repeated rows included."""
        with TemporaryDirectory() as cache:
            dataset = self.make(Path(cache))
            told: list[tuple[int, int]] = []
            first, second = _different(dataset)
            rows = np.array([second, first, second])
            pixels = dataset.pixels(rows, lambda done, total: told.append((done, total)))
            assert pixels.dtype == np.uint8, f"pixels are {pixels.dtype}, not uint8"
            assert pixels.shape == (3, *dataset.spec.shape), (
                f"pixels have shape {pixels.shape}, not (3, *spec.shape)"
            )
            assert told, "progress was never called"
            assert told[-1][0] == told[-1][1], f"progress ended at {told[-1][0]} of {told[-1][1]}"
            alone = dataset.pixels(np.array([first]))
            assert np.array_equal(pixels[0], pixels[2]), "one row asked for twice has two images"
            assert np.array_equal(pixels[1], alone[0]), "a row alone has another image"
            assert not np.array_equal(pixels[0], pixels[1]), "two rows have the same image"

    def test_two_of_a_request_are_the_same(self) -> None:
        """Spec, records and pixels depend on the request only, and not on the cache folder."""
        with TemporaryDirectory() as left, TemporaryDirectory() as right:
            one, two = self.make(Path(left)), self.make(Path(right))
            assert one.spec == two.spec, "two datasets of one request have different specs"
            for field in fields(Records):
                left_column, right_column = (getattr(it.records, field.name) for it in (one, two))
                assert np.array_equal(left_column, right_column), f"records.{field.name} differs"
            rows = np.array(_different(one))
            assert np.array_equal(one.pixels(rows), two.pixels(rows)), "pixels differ"

    def test_the_spec_names_the_request(self) -> None:
        """Side, disease, groups and digest stand in the spec; the gap is a difference of rates."""
        with TemporaryDirectory() as cache:
            spec = self.make(Path(cache)).spec
        assert spec.shape[1:] == (self.size, self.size), f"spec.shape is {spec.shape}"
        assert spec.disease == self.disease, f"spec.disease is {spec.disease!r}"
        assert len(set(spec.groups)) == 2, f"spec.groups are {spec.groups}; name two groups"
        assert spec.digest, "spec.digest is empty; it must identify the table and the images"
        assert abs(spec.positive_rate_gap) / 2 <= spec.positive_rate, "the gap is impossible"

    def test_an_unknown_disease_is_named(self) -> None:
        """A disease that the dataset lacks is an error that names it."""
        with TemporaryDirectory() as cache:
            try:
                self.make(Path(cache), disease=NO_DISEASE)
                said = ""
            except (ConfigError, DatasetError) as error:
                said = str(error) or "nothing"
        assert said, "an unknown disease is taken; raise zobench.errors.ConfigError"
        assert NO_DISEASE in said, f"the error does not name the disease: {said}"

    def test_what_the_dataset_takes_passes_its_precheck(self) -> None:
        """The precheck, if there is one, refuses no request that the dataset itself takes."""
        offer, argument = self.registry().find("datasets", self.name)
        parameters = offer.plugin.resolve(self.overrides, "dataset")
        try:
            offer.plugin.precheck_dataset(self.disease, self.root, argument, parameters)
            said = ""
        except ZobenchError as error:
            said = f"{type(error).__name__}: {error}"
        assert not said, f"the precheck refuses what the dataset takes: {said}"


def _different(dataset: Dataset) -> tuple[int, int]:
    """Two rows of different patients."""
    patients: Rows = dataset.records.patient
    other = int(np.flatnonzero(patients != patients[0])[0])
    return 0, other
