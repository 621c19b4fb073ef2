"""Fixtures shared by all tests: a small encoder, a small dataset, and where the real films are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zobench.datasets import DatasetSpec, Pixels, Progress, Records, Rows, silent
from zobench.encoders import EncoderSpec

SIDE = 8
DIMENSION = 6


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the whole session, away from the user's own; child processes inherit it."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("ZOBENCH_CACHE")
    os.environ["ZOBENCH_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["ZOBENCH_CACHE"]
    else:
        os.environ["ZOBENCH_CACHE"] = before


@pytest.fixture
def films_root() -> Path:
    """Folder of the real chest X-rays."""
    named = os.environ.get("ZOBENCH_TEST_FILMS")
    root = Path(named) if named else Path(__file__).parents[2] / "shared" / "nih-cxr"
    if not (root / "Data_Entry_2017.csv").is_file():
        pytest.skip(f"no real films at {root}; set ZOBENCH_TEST_FILMS to a ChestX-ray14 folder")
    return root


class TinyEncoder:
    """A fixed smooth map of 8x8 films to 6 numbers; every call is counted."""

    def __init__(self, block: int = 50, name: str = "tiny") -> None:
        generator = torch.Generator().manual_seed(3)
        self._weight = torch.randn(SIDE * SIDE, DIMENSION, generator=generator) / SIDE
        self.calls: list[int] = []
        self.spec = EncoderSpec(name, (1, SIDE, SIDE), DIMENSION, True, True, "tiny", block)

    def embed(self, images: Tensor) -> Tensor:
        self.calls.append(len(images))
        return torch.tanh(images.flatten(1) @ self._weight)

    def close(self) -> None:
        pass


class TinyDataset:
    """Random 8x8 films whose upper half tells the sex and whose lower half the disease."""

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

    def pixels(self, rows: Rows, progress: Progress = silent) -> Pixels:
        progress(len(rows), len(rows))
        return self._pixels[rows]


@pytest.fixture
def tiny_encoder() -> TinyEncoder:
    return TinyEncoder()


@pytest.fixture
def tiny_dataset() -> TinyDataset:
    return TinyDataset()
