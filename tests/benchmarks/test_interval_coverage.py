"""How often 95 % intervals hold the true value, also for gaps near 0.

``pytest tests/benchmarks/test_interval_coverage.py --benchmark-only -n 0 -s`` prints
the shares. Each experiment draws the positive calls in each cell of (y, a), then resamples the
patients as in a run. A gap is an absolute difference. Three rules for its interval are compared:
the percentiles of its absolute values, the percentiles of its signed values folded at 0, and the
rule of zobench.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.interval import interval
from zobench.registry.discovery import load_registry

EXPERIMENTS, REPLICATES = 2000, 1000
RATES = 0.5
"""The true-positive rate and the false-positive rate of the first group."""

Floats = NDArray[np.float64]


def drawn(rates: Floats, images: int, rng: np.random.Generator) -> GroupCounts:
    """The counts of one experiment and its resamples, with one image per patient.

    Row 0 is the experiment; the other rows are resamples within cells of ``images`` patients.
    """
    seen = rng.binomial(images, rates)
    called = np.concatenate(
        [seen[None], rng.binomial(images, seen / images, (REPLICATES, 2, 2))]
    ).astype(np.float64)
    return GroupCounts(np.full_like(called, images), called)


def percentiles_of_absolute(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(abs(values[1:]), [2.5, 97.5])
    return low, high


def folded(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    ends = sorted((abs(low), abs(high)))
    return (0.0 if low <= 0 <= high else ends[0]), ends[1]


def coverage(metric: Metric, images: int, gap: float, seed: int) -> dict[str, float]:
    """The percentage of experiments whose interval holds the true value, by rule.

    The true EO_p is ``gap``, and the true EO_n is ``gap / 2``.
    """
    rng = np.random.default_rng([seed, images])
    rates = np.array([[RATES, RATES - gap / 2], [RATES, RATES + gap]])
    truth = GroupCounts(np.full((1, 2, 2), 1.0), rates[None])
    assert metric.from_counts is not None
    true = abs(float(metric.from_counts(truth)[0]))
    held = dict.fromkeys(("absolute", "folded", "zobench"), 0)
    for _ in range(EXPERIMENTS):
        values = metric.from_counts(drawn(rates, images, rng))
        found = interval([values], metric)
        for rule, (low, high) in (
            ("absolute", percentiles_of_absolute(values)),
            ("folded", folded(values)),
            ("zobench", (found.low, found.high)),
        ):
            held[rule] += low - 1e-9 <= true <= high + 1e-9
    return {rule: 100.0 * count / EXPERIMENTS for rule, count in held.items()}


@pytest.mark.parametrize("name", ["eo_p", "di_gap_tpr", "eodds_average", "accuracy"])
def test_coverage(benchmark: BenchmarkFixture, name: str) -> None:
    """Prints the coverage of each rule for gaps of 0 to 30 points and 80 to 640 images per cell."""
    metric = next(each for each in load_registry().metrics if each.name == name)
    print(f"\n  {name}: images per cell, true gap in points: absolute, folded, zobench")
    for images in (640, 200, 80):
        for points in (0, 1, 2, 4, 8, 16, 30):
            found = coverage(metric, images, points / 100, points)
            benchmark.extra_info[f"{images} images, {points} points"] = found
            row = ", ".join(f"{value:5.1f}" for value in found.values())
            print(f"  {images:>4} {points:>3}: {row}")
    benchmark.pedantic(lambda: None, rounds=1)
