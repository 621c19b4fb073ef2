"""CPU time of a phantom film: ``pytest tests/benchmarks --benchmark-only -n 0 -s -k phantom``."""

from __future__ import annotations

import statistics
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from zobench_plugins.datasets.phantom.generator import render

PATIENTS = 60


@pytest.mark.gated
def test_the_cpu_time_of_a_film(benchmark: BenchmarkFixture) -> None:
    """One core renders two films each of some patients, half of them with edema."""
    times: list[float] = []

    def films() -> None:
        started = time.process_time()
        for patient in range(PATIENTS):
            for image in range(2):
                finding = "edema" if patient % 4 < 2 else None
                render(0, patient, image, male=bool(patient % 2), finding=finding)
        times.append((time.process_time() - started) / (2 * PATIENTS))

    benchmark.pedantic(films, rounds=5, warmup_rounds=1)
    middle = statistics.median(times[1:])
    benchmark.extra_info["seconds_per_film"] = middle
    print(f"\n  {1e3 * middle:.1f} ms of CPU time a film")
