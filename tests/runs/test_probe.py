"""What a probe refuses before any image is embedded."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import TinyDataset, TinyEncoder, tiny_registry
from torch import Tensor

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.errors import ConfigError
from zobench.runs.probe import probe_encoder


class Unused(TinyEncoder):
    closed = False

    def embed(self, images: Tensor) -> Tensor:
        raise AssertionError("an image was embedded")

    def close(self) -> None:
        self.closed = True


def refused(dataset: TinyDataset, limit: int) -> str:
    encoder = Unused()
    registry = tiny_registry(lambda request: encoder, dataset=lambda request: dataset)
    config = RunConfig("random", "tiny", "tiny", "spots")
    with pytest.raises(ConfigError) as caught:
        probe_encoder(config, limit, Silence(), registry)
    assert encoder.closed
    return str(caught.value)


def test_fewer_patients_than_folds() -> None:
    few = TinyDataset(patients=3)
    assert "3 patients, but 5 folds" in refused(few, 100)
    assert "a dataset, or a finding, with more" in refused(few, 100)
    said = refused(TinyDataset(), 2)
    assert "and 2 at most; they are of" in said
    assert "--images" in said


def test_no_whole_patient_within_the_limit() -> None:
    dataset = TinyDataset()
    dataset.records.patient[:] = np.arange(len(dataset.records)) // 40
    assert "they are of 0 patients" in refused(dataset, 20)


def test_a_label_that_all_images_share() -> None:
    dataset = TinyDataset()
    dataset.records.sensitive[:] = 1
    assert "the sensitive attribute is the same in all images outside fold 1" in refused(
        dataset, 200
    )
