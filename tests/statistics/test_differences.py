"""The coverage of intervals, and the verdicts of comparisons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from zobench.measures.recovery import FPQ
from zobench.statistics import Interval, difference, interval


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("patients", [0.0, 1.0])
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(
    seeds: int, patients: float
) -> None:
    """Seeds vary with standard deviation 1 around the true value 0; patients add noise."""
    rng = np.random.default_rng(seeds)
    held = 0
    for _ in range(400):
        centres = rng.standard_normal(seeds) + patients * rng.standard_normal(seeds)
        noise = patients * rng.standard_normal((seeds, 200))
        runs = [np.append(c, c + row) for c, row in zip(centres, noise, strict=True)]
        found = interval(runs)
        held += found.low <= 0 <= found.high
    assert held / 400 >= 0.92


def test_without_noise_of_patients_it_is_students_interval() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal(40)
    for count in (3, 40):
        few = values[:count]
        found = interval([np.full(3, value) for value in few])
        low, high = stats.t.interval(0.95, count - 1, few.mean(), stats.sem(few))
        assert found.low == pytest.approx(low)
        assert found.high == pytest.approx(high)


def test_one_seed_has_the_interval_of_its_patients() -> None:
    rng = np.random.default_rng(0)
    run = np.append(5.0, 5 + rng.standard_normal(5000))
    found = interval([run])
    assert found.seeds == 1
    assert found.low == pytest.approx(np.percentile(run[1:], 2.5), abs=0.1)
    assert found.high == pytest.approx(np.percentile(run[1:], 97.5), abs=0.1)


def pair(gain: float, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of A and B whose common patient noise is far larger than their difference."""
    rng = np.random.default_rng(seed)
    common = 10 * rng.standard_normal(501)
    common[0] = 0.0
    own = spread * rng.standard_normal(501)
    own[0] = 0.0
    return common, common + gain + own


@pytest.mark.parametrize(
    ("gain", "spread", "margin", "verdict"),
    [
        (1.0, 0.1, 0.0, "better"),
        (-1.0, 0.1, 0.5, "worse"),
        (-0.01, 0.1, 0.5, "no worse"),
        (-0.2, 0.9, 0.3, "undecided"),
        (0.0, 0.0, 0.0, "same"),
    ],
)
def test_verdicts(gain: float, spread: float, margin: float, verdict: str) -> None:
    pairs = [pair(gain, spread, seed) for seed in range(8)]
    found = difference(pairs, FPQ, margin=margin)
    assert found.verdict == verdict
    assert found.gain.value == pytest.approx(gain)
    assert found.gain.high - found.gain.low < 2  # pairing removes the common patient noise


def test_for_a_gap_less_is_better() -> None:
    pairs = [pair(-1.0, 0.1, seed) for seed in range(8)]
    found = difference(pairs, replace(FPQ, higher_is_better=False))
    assert found.verdict == "better"
    assert found.superiority > 0.9999
    assert found.b.value < found.a.value


def test_superiority_is_even_where_nothing_tells_them_apart() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((10, 501))
    pairs = [(np.zeros(501), row - row.mean()) for row in noise]
    found = difference(pairs, FPQ)
    assert 0.1 < found.superiority < 0.9
    same = difference([(np.ones(9), np.ones(9))], FPQ)
    assert same.superiority == 0.5
    assert same.gain == Interval(0.0, 0.0, 0.0, 1)
