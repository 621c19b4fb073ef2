from __future__ import annotations

import numpy as np
import pytest
from tiny import TinyDataset

from zobench.errors import ConfigError, DatasetError
from zobench.problem.split import SplitParameters, make_split


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
