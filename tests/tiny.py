"""Runs that take a second: a tiny encoder and a tiny dataset beside the built-in plugins."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from zobench_plugins.objectives.dne import Dne

import zobench
from zobench.config import RunConfig
from zobench.contracts.dataset import DatasetSpec, Pixels, Records, Rows
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.listener import ReportProgress, Silence, silent
from zobench.contracts.objective import ObjectiveContext
from zobench.problem.heads import Head
from zobench.records.manifest import Manifest, SplitRecord
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Offer, Registry, load_registry
from zobench.registry.plugin import Plugin
from zobench.testing.projects import as_if_installed

SIDE = 8
DIMENSION = 6
SIZES = {"split": {"train": 120, "test_per_cell": 40}}


class TinyEncoder:
    """A fixed smooth map of 8x8 films to 6 numbers; ``calls`` holds the images of each call."""

    def __init__(self, block: int = 50, name: str = "tiny", seed: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._weight = torch.randn(SIDE * SIDE, DIMENSION, generator=generator) / SIDE
        self.calls: list[int] = []
        self.spec = EncoderSpec(name, (1, SIDE, SIDE), DIMENSION, True, True, name, block)

    def embed(self, images: Tensor) -> Tensor:
        self.calls.append(len(images))
        found = images.flatten(1).double() @ self._weight.double()
        return torch.tanh(found).float()  # float64, so that the batch does not change the rounding

    def close(self) -> None:
        pass


class TinyDataset:
    """Random 8x8 films; the upper half depends on the sex, the lower half on the disease."""

    def __init__(self, patients: int = 240, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(patients), 2)
        sensitive, label = patient % 2, (patient // 2) % 2
        films = rng.integers(60, 190, (len(patient), 1, SIDE, SIDE))
        films[:, :, : SIDE // 2] += (25 * sensitive)[:, None, None, None]
        films[:, :, SIDE // 2 :] += (20 * label)[:, None, None, None]
        self._pixels: Pixels = films.astype(np.uint8)
        self.records = Records(
            patient=patient,
            label=label,
            sensitive=sensitive,
            age=np.full(len(patient), 50),
            view=np.full(len(patient), "PA"),
        )
        self.spec = DatasetSpec("tiny", "spots", (1, SIDE, SIDE), ("a0", "a1"), "tiny", 0.8)

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        progress(len(rows), len(rows))
        return self._pixels[rows]


def tiny_registry(encoder: Any = None, optimizer: Any = None, dataset: Any = None) -> Registry:
    """The real registry with a tiny encoder and dataset beside the built-in ones."""
    offers: dict[Any, Mapping[str, Offer]] = dict(load_registry().offers)

    def add(kind: str, name: str, target: Any) -> None:
        offers[kind] = {**offers[kind], name: Offer(name, Plugin(target, "test"), "tests")}

    add("encoders", "tiny", encoder or (lambda request: TinyEncoder()))
    add("datasets", "tiny", dataset or (lambda request: TinyDataset()))
    if optimizer is not None:
        add("optimizers", "mine", optimizer)
    return Registry(offers)


@contextmanager
def tiny_plugin() -> Iterator[None]:
    """Makes the plugin of tests/suite available in this process and in child processes."""
    tests, before = Path(__file__).parent, os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(tests), *filter(None, [before])])
    with as_if_installed(tests / "suite" / "plugin"):
        yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


SETTINGS: Mapping[str, Any] = {
    "encoder": "tiny",
    "dataset": "tiny",
    "disease": "spots",
    "budget": 400,
    "batch_size": 10,
    "replicates": 50,
    "snapshots": 5,
}


def manifest(**fields: Any) -> Manifest:
    """A manifest with default values; no run was carried out."""
    made = Manifest(
        config=RunConfig(),
        parameters={"optimizer": {}, "encoder": {}, "dataset": {}, "split": {}},
        feedback="value",
        encoder=TinyEncoder().spec,
        dataset=TinyDataset().spec,
        split=SplitRecord("x"),
        plugins={},
        versions={"zobench": "0"},
        machine={},
        git_revision="",
        created="",
    )
    return made.changed(**fields)


def config(optimizer: str, overrides: Mapping[str, Any] = SIZES) -> RunConfig:
    """The config of a run that takes a second."""
    return RunConfig(optimizer=optimizer, overrides=overrides, **SETTINGS)


def run(tmp_path: Path, registry: Registry | None = None, **fields: Any) -> StoredRun:
    """Carries out a run that takes a second, with gezo unless ``fields`` names an optimizer."""
    settings = {**SETTINGS, "overrides": {**SIZES, "optimizer": {"samples": 2}}, **fields}
    return zobench.run(out=tmp_path, registry=registry or tiny_registry(), **settings)


class StopAfter(Silence):
    """Sends SIGINT to this process, like Ctrl-C, once ``queries`` queries are spent."""

    def __init__(self, queries: int) -> None:
        self._queries = queries
        self._phase = ""

    def phase(self, name: str, total: int) -> None:
        self._phase = name

    def update(self, done: int, **figures: float) -> None:
        if self._phase == "optimize" and done >= self._queries:
            signal.raise_signal(signal.SIGINT)
            self._queries = 10**9


def dne(head: Head) -> Dne:
    """The paper's objective with a given SA head."""
    nothing = torch.zeros(1, dtype=torch.int64)
    clean = torch.zeros(1, head.weight.shape[1])
    return Dne(ObjectiveContext(head, clean, nothing, nothing, np.random.default_rng(0)))


SUITE_FILE = """
optimizers = [{optimizers}]
encoders = ["tiny"]
datasets = ["tiny"]
diseases = ["spots"]
seeds = {seeds}

[run]
budget = 400
batch_size = 10
replicates = 50
{more}
[split]
train = 120
test_per_cell = 40
"""
"""A suite file whose runs take about a second each."""


def write_suite(
    folder: Path, *optimizers: str, seeds: str = "2", more: str = "", name: str = "suite.toml"
) -> Path:
    """Writes a suite file of short runs, by default of two optimizers."""
    path = folder / name
    listed = ", ".join(optimizers or ('"random"', '"gezo"'))
    path.write_text(SUITE_FILE.format(optimizers=listed, seeds=seeds, more=more))
    return path
