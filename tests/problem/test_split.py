from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny import TinyDataset

from zobench.contracts.dataset import Bias, DatasetSpec, Pixels, Records, Rows
from zobench.errors import ConfigError, DatasetError
from zobench.problem.split import Split, SplitParameters, make_split


def split(seed: int = 0, **parameters: object):
    dataset = TinyDataset()
    found = make_split(dataset, SplitParameters(**parameters), np.random.default_rng(seed))
    return dataset.records, found


def counts(records, rows) -> list[int]:
    return np.bincount(2 * records.label[rows] + records.sensitive[rows], minlength=4).tolist()


def test_no_patient_is_on_both_sides() -> None:
    for seed in range(5):
        records, found = split(seed, train=80, test_per_cell=30)
        assert not set(records.patient[found.train]) & set(records.patient[found.test])


def test_the_test_set_is_balanced_and_the_training_set_has_the_gap_asked_for() -> None:
    records, found = split(train=80, test_per_cell=30, gap=0.5)
    assert counts(records, found.test) == [30] * 4
    assert counts(records, found.train) == [10, 30, 30, 10]
    records, found = split(train=80, test_per_cell=30, gap=-0.5)
    assert counts(records, found.train) == [30, 10, 10, 30]


def test_the_default_gap_is_the_datasets() -> None:
    records, found = split(train=80, test_per_cell=30)
    assert counts(records, found.train) == [4, 36, 36, 4]


def test_the_seed_decides() -> None:
    first, again, other = (split(s, train=80, test_per_cell=30)[1].test.tolist() for s in (0, 0, 1))
    assert first == again != other


def test_default_sizes_shrink_to_the_dataset_but_sizes_asked_for_do_not() -> None:
    records, found = split()
    assert len(set(counts(records, found.test))) == 1
    assert 8 <= len(found.train) < 800
    with pytest.raises(DatasetError, match=r"too few patients") as caught:
        split(train=800, test_per_cell=640)
    assert "positive    a1" in str(caught.value)
    assert "patients" in str(caught.value)


def test_the_positive_rate_can_be_set_within_what_the_gap_leaves() -> None:
    records, found = split(train=80, test_per_cell=30, gap=0.5, positive_rate=0.3)
    assert counts(records, found.train) == [18, 38, 22, 2]
    with pytest.raises(ConfigError, match=r"split\.positive_rate is 0\.1.*from 0\.25 to 0\.75"):
        split(train=80, test_per_cell=30, gap=0.5, positive_rate=0.1)


def test_an_impossible_gap_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"split\.gap"):
        split(gap=-1.5)


class Lopsided:
    """A dataset whose groups differ in size and rate: 600 images with 20 %, 200 with 50 %."""

    def __init__(self, bias: Bias) -> None:
        sensitive = np.repeat([0, 1], [600, 200])
        label = np.concatenate([np.arange(600) % 5 == 0, np.arange(200) % 2 == 0]).astype(np.int64)
        count = len(label)
        self.records = Records(
            np.arange(count), label, sensitive, np.full(count, 50), np.full(count, "PA")
        )
        self.spec = DatasetSpec(
            "lopsided", "spots", (1, 8, 8), ("many", "few"), "digest", 0.6, bias=bias
        )

    def pixels(self, rows: Rows, progress: object = None) -> Pixels:
        return np.zeros((len(rows), 1, 8, 8), np.uint8)


def test_a_group_without_images_gets_the_table_of_the_cells() -> None:
    dataset = Lopsided("as-is")
    dataset.records = dataclasses.replace(dataset.records, sensitive=np.zeros(800, dtype=np.int64))
    with pytest.raises(DatasetError, match=r"(?s)too few patients for a split.*images"):
        make_split(dataset, SplitParameters(), np.random.default_rng(0))


def lopsided(own: Bias, **parameters: object) -> tuple[Split, list[int]]:
    dataset = Lopsided(own)
    found = make_split(dataset, SplitParameters(**parameters), np.random.default_rng(0))
    return found, counts(dataset.records, found.train)


def test_as_is_keeps_the_shares_of_groups_and_findings() -> None:
    found, cells = lopsided("as-is", train=200, test_per_cell=20)
    assert (found.bias, cells) == ("as-is", [120, 25, 30, 25])
    assert counts(Lopsided("as-is").records, found.test) == [20] * 4
    found, cells = lopsided("amplified", train=200, test_per_cell=20, bias="as-is")
    assert (found.bias, cells) == ("as-is", [120, 25, 30, 25])
    assert sum(lopsided("as-is", train=199, test_per_cell=20)[1]) == 199


def test_the_user_and_else_the_dataset_decides_the_bias() -> None:
    assert lopsided("amplified", train=100, test_per_cell=20)[1] == [10, 40, 40, 10]
    for asked in ({"bias": "amplified"}, {"gap": 0.6}, {"positive_rate": 0.5}):
        found, cells = lopsided("as-is", train=100, test_per_cell=20, **asked)
        assert (found.bias, cells) == ("amplified", [10, 40, 40, 10])
    assert lopsided("as-is", train=100, test_per_cell=20, gap=0.0)[1] == [25] * 4


def test_as_is_and_a_gap_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"split\.gap is 0\.5, but split\.bias=as-is"):
        lopsided("as-is", bias="as-is", gap=0.5)


def test_default_sizes_as_is_shrink_until_every_cell_has_enough() -> None:
    found, cells = lopsided("as-is")
    assert np.allclose(
        np.array(cells) / sum(cells), np.array([480, 100, 120, 100]) / 800, atol=0.01
    )
    assert len(set(counts(Lopsided("as-is").records, found.test))) == 1
    with pytest.raises(DatasetError, match=r"bias=as-is.*\n.*images"):
        lopsided("as-is", train=700, test_per_cell=20)
