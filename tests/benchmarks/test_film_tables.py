"""A table of CheXpert's size; ``pytest tests/benchmarks --benchmark-only -n 0 -s -k film``."""

from __future__ import annotations

import csv
import random
import tracemalloc
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from zobench_plugins.datasets.chexpert.dataset import CheXpertDataset
from zobench_plugins.datasets.chexpert.table import FINDINGS, CheXpertParameters

from zobench.contracts.dataset import DatasetRequest

ROWS = 220_000
HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", *FINDINGS]


def write(root: Path) -> None:
    """Writes the table, and an empty file for each film that the dataset uses.

    One row in ten has no finding; one in five of the others has pleural effusion.
    """
    rng = random.Random(0)
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(ROWS):
            patient, plane = number // 3, "Lateral" if number % 7 == 0 else "Frontal"
            folder = f"train/patient{patient:05d}/study{number % 3}"
            healthy = rng.random() < 0.1
            labels = [
                "" if healthy else rng.choice(("", "", "1.0", "0.0", "-1.0")) for _ in FINDINGS
            ]
            sex = "Female" if patient % 2 else "Male"
            basic = [f"CheXpert-v1.0/{folder}/view1_frontal.jpg", sex, 50, plane, "AP"]
            writer.writerow([*basic, "1.0" if healthy else "", *labels])
            if plane == "Frontal" and (healthy or labels[FINDINGS.index("Pleural Effusion")]):
                (root / folder).mkdir(parents=True, exist_ok=True)
                (root / folder / "view1_frontal.jpg").touch()


@pytest.mark.gated
def test_220000_rows(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Time and peak memory to make a dataset from a folder, without reading pixels."""
    write(tmp_path)
    request = DatasetRequest("pleural_effusion", tmp_path, 224, tmp_path / "cache")

    def load() -> CheXpertDataset:
        return CheXpertDataset(request, CheXpertParameters())

    found = benchmark.pedantic(load, rounds=3, warmup_rounds=1)
    tracemalloc.start()
    load()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(
        f"\n  {ROWS:,} rows, {len(found.records):,} films chosen: {benchmark.stats.stats.mean:.2f} s, "
        f"at most {peak / 1e6:.0f} MB"
    )
