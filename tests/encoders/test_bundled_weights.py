"""Linear heads read sex and finding from embeddings of patients outside the training data."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.runs.probe import probe_encoder


@pytest.mark.lengthy
def test_a_linear_head_reads_sex_and_effusion_from_held_out_phantoms() -> None:
    found = probe_encoder(RunConfig(disease="pleural_effusion"), limit=1500, listener=Silence())
    assert found.sensitive.accuracy.low >= 89
    assert found.disease.accuracy.low >= 85


def test_a_linear_head_reads_sex_from_real_films(films_root: Path) -> None:
    config = RunConfig(dataset="nih", data_root=str(films_root), disease="pneumonia")
    found = probe_encoder(config, limit=10_000, listener=Silence())
    assert found.images == 637
    assert found.sensitive.accuracy.value >= 75
    assert found.sensitive.reads
    assert found.sensitive.auc.low < found.sensitive.auc.value < found.sensitive.auc.high


def test_the_weights_are_small_and_described() -> None:
    folder = files("zobench_encoders") / "weights"
    assert len((folder / "vit-mae.safetensors").read_bytes()) <= 8_000_000
    card = (folder / "MODEL_CARD.md").read_text()
    for word in ("Data", "Recipe", "Seed", "Figures", "Licence"):
        assert word in card
