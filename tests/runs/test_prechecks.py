"""A wrong finding or folder is an error before the encoder, which may take long, is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import SIZES, TinyEncoder, tiny_registry
from torch import Tensor

import zobench
from zobench.config import RunConfig
from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.contracts.listener import Silence
from zobench.errors import ConfigError, DatasetError
from zobench.registry.discovery import Registry
from zobench.runs.probe import probe_encoder
from zobench.runs.shared_parts import SharedParts


class Loads:
    """Counts how often the encoder is loaded."""

    def __init__(self) -> None:
        self.count = 0
        self.registry = tiny_registry(encoder=self.load)

    def load(self, request: EncoderRequest) -> Encoder:
        self.count += 1
        return TinyEncoder()


def run(config: RunConfig, registry: Registry, folder: Path) -> object:
    return zobench.run(config, out=folder / "runs", registry=registry)


def plan(config: RunConfig, registry: Registry, folder: Path) -> object:
    with SharedParts(registry, Silence()) as shared:
        return shared.parts(config)


def probe(config: RunConfig, registry: Registry, folder: Path) -> object:
    return probe_encoder(config, 100, Silence(), registry)


WAYS = pytest.mark.parametrize("way", [run, plan, probe])
Way = Callable[[RunConfig, Registry, Path], object]


def refused(tmp_path: Path, way: Way = run, **fields: Any) -> str:
    """The error of a request that is refused before the encoder is loaded."""
    loads = Loads()
    config = RunConfig(optimizer="random", encoder="tiny", overrides=SIZES, **fields)
    with pytest.raises((ConfigError, DatasetError)) as error:
        way(config, loads.registry, tmp_path)
    assert loads.count == 0
    return str(error.value)


@WAYS
def test_a_mistyped_disease_of_the_phantoms(way: Way, tmp_path: Path) -> None:
    assert "did you mean 'edema'" in refused(tmp_path, way, dataset="phantom", disease="edma")


@WAYS
@pytest.mark.parametrize("dataset", ["nih", "chexpert", "table"])
def test_a_folder_that_is_not_given_or_not_there(dataset: str, way: Way, tmp_path: Path) -> None:
    assert "needs --data-root" in refused(tmp_path, way, dataset=dataset)
    missing = tmp_path / "missing"
    assert f"{str(missing)!r}" in refused(tmp_path, way, dataset=dataset, data_root=str(missing))


def test_a_finding_that_the_table_of_the_films_lacks(films_root: Path, tmp_path: Path) -> None:
    said = refused(tmp_path, dataset="nih", data_root=str(films_root), disease="efusion")
    assert "'efusion'" in said
    assert "did you mean 'effusion'" in said


def test_a_finding_that_is_none_of_chexperts(tmp_path: Path) -> None:
    (tmp_path / "train.csv").touch()
    said = refused(tmp_path, dataset="chexpert", data_root=str(tmp_path), disease="edma")
    assert "did you mean 'edema'" in said


def test_a_folder_without_its_table(tmp_path: Path) -> None:
    for dataset, name in (("nih", "Data_Entry_2017.csv"), ("chexpert", "train.csv")):
        said = refused(tmp_path, dataset=dataset, data_root=str(tmp_path))
        assert name in said
        assert "missing" in said
    assert "no tables" in refused(tmp_path, dataset="table", data_root=str(tmp_path))


@WAYS
def test_a_dataset_without_a_precheck_is_made_after_the_encoder(way: Way, tmp_path: Path) -> None:
    loads = Loads()
    config = RunConfig(
        optimizer="random",
        encoder="tiny",
        dataset="tiny",
        disease="spots",
        overrides=SIZES,
        budget=400,
        batch_size=10,
        replicates=50,
        snapshots=5,
    )
    way(config, loads.registry, tmp_path)
    assert loads.count == 1


def test_points_with_too_few_images_for_the_objective_are_refused_before_images_are_embedded(
    tmp_path: Path,
) -> None:
    class Unused(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            raise AssertionError("an image was embedded")

    config = RunConfig(
        "random", "tiny", "tiny", "spots", objective="fisher", batch_size=1, overrides=SIZES
    )
    registry = tiny_registry(lambda request: Unused())
    with pytest.raises(ConfigError, match="objective fisher compares images"):
        run(config, registry, tmp_path)
