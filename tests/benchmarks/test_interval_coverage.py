"""How often 95 % intervals hold the true value, also for gaps near 0.

``pytest tests/benchmarks/test_interval_coverage.py --benchmark-only -n 0 -s`` prints
the shares. Each experiment draws the positive calls in each cell of (y, a), then resamples the
patients as in a run. A gap is an absolute difference. Three rules for its interval are compared:
the percentiles of its absolute values, the percentiles of its signed values folded at 0, and the
rule of zobench. Where rates are near 1, resamples vary too little, and the rule of zobench holds the
truth less often. A recovery is made of two gaps of the same patients; its interval is compared with
the percentiles of recoveries from absolute gaps, and for means over seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.contracts.metric import GroupCounts, Metric
from zobench.measures.interval import interval
from zobench.measures.recovery import RECOVERY, Recoveries
from zobench.registry.discovery import load_registry

EXPERIMENTS, REPLICATES = 2000, 1000
RATES = 0.5
"""The true-positive rate and the false-positive rate of the first group."""
NEAR_ONE = ((80, 0.8, 0.78), (80, 0.99, 0.97), (80, 1.0, 0.98), (640, 0.999, 0.995))
"""Images per cell and the rates of both groups, where one is near 1."""
ERM_GAP = 0.2
"""Difference between the groups' rates without an edit, where recovery is measured."""
KEPT = 0.6
"""Share of the patients whose call depends on the same chance with and without the edit."""
SEEDS = 10

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


def recoveries(true: float, images: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Recovery ``(R + 1,)`` of one experiment for one run, and for a mean over seeds."""
    first = np.array([[0.3, 0.3 + ERM_GAP], [0.5, 0.5 + ERM_GAP]])
    edited = first - (ERM_GAP * true) * np.array([0.0, 1.0])
    chance = rng.random((2, 2, images))
    other = np.where(rng.random(chance.shape) < KEPT, chance, rng.random(chance.shape))
    calls = 2 * (chance < first[..., None]) + (other < edited[..., None])
    seen = np.stack([(calls == call).sum(-1) for call in range(4)], axis=-1)
    drawn = rng.multinomial(images, seen / images, size=(REPLICATES, 2, 2))
    weights = np.concatenate([seen[None], drawn]).astype(np.float64)
    called = (weights[..., 2] + weights[..., 3], weights[..., 1] + weights[..., 3])
    counts = [GroupCounts(np.full_like(each, images), each) for each in called]
    one, many = (
        Recoveries.of_counts(counts, 100.0, absolute=absolute) for absolute in (False, True)
    )
    return one.recovery[1], many.recovery[1]


@pytest.mark.parametrize("seeds", [1, SEEDS])
def test_coverage_of_recovery(benchmark: BenchmarkFixture, seeds: int) -> None:
    """Prints how often the interval of a recovery holds the true one, for 50 to 640 images a cell.

    With one seed also the share for percentiles of recoveries from absolute gaps.
    """
    rules = "absolute gaps, zobench" if seeds == 1 else "zobench"
    print(f"\n  recovery, seeds {seeds}: images per cell, true recovery: {rules}")
    for images in (640, 200, 50):
        for true in (1.0, 0.9, 0.5, 0.0):
            rng = np.random.default_rng([images, seeds, int(10 * true)])
            held = []
            for _ in range(EXPERIMENTS // seeds):
                alone, averaged = zip(
                    *(recoveries(true, images, rng) for _ in range(seeds)), strict=True
                )
                ends = [interval(averaged, RECOVERY)]
                ends += [interval(alone, RECOVERY)] if seeds == 1 else []
                held.append([each.low - 1e-9 <= true <= each.high + 1e-9 for each in ends])
            shares = [100.0 * float(share) for share in np.mean(held, axis=0)]
            benchmark.extra_info[f"{images} images, recovery {true}"] = shares
            print(f"  {images:>4} {true:>4}: {', '.join(f'{share:5.1f}' for share in shares)}")
    benchmark.pedantic(lambda: None, rounds=1)


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


def test_coverage_near_rates_of_one(benchmark: BenchmarkFixture) -> None:
    """Prints the coverage of zobench's rule, and the share of intervals [0, 0], for rates near 1."""
    metric = next(each for each in load_registry().metrics if each.name == "eo_p")
    assert metric.from_counts is not None
    print("\n  eo_p: images per cell, both rates: holds the truth, is [0, 0]")
    for images, first, second in NEAR_ONE:
        rng = np.random.default_rng([images, int(1000 * first)])
        rates = np.array([[0.5, 0.5], [second, first]])
        truth = GroupCounts(np.full((1, 2, 2), 1.0), rates[None])
        true = abs(float(metric.from_counts(truth)[0]))
        ends = [
            interval([metric.from_counts(drawn(rates, images, rng))], metric)
            for _ in range(EXPERIMENTS)
        ]
        held = 100.0 * np.mean([each.low - 1e-9 <= true <= each.high + 1e-9 for each in ends])
        nothing = 100.0 * np.mean([each.high == 0 for each in ends])
        benchmark.extra_info[f"{images} images, rates {first} and {second}"] = [held, nothing]
        print(f"  {images:>4} {first} {second}: {held:5.1f}, {nothing:5.1f}")
    benchmark.pedantic(lambda: None, rounds=1)
