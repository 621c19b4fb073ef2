"""Seconds per run of each engine.

Run it with ``pytest tests/benchmarks/test_engines.py --benchmark-only -n 0 -s``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.many import SHORT
from pytest_benchmark.fixture import BenchmarkFixture

FEW, MANY = 2, 6
ENGINES = {"local": (), "ray": ("--executor", "ray")}


def took(tmp_path: Path, seeds: int, *words: str) -> float:
    """Seconds of a suite without stored runs or shared results; each run uses one core."""
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    shutil.rmtree(tmp_path / "cache" / "shared", ignore_errors=True)
    path = tmp_path / "suite.toml"
    path.write_text(SHORT.format(names='"random"', seeds=seeds))
    command = ["zobench", "suite", str(path), "--out", str(tmp_path / "runs"), *words]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", *command, "--cpus-per-run", "1"],
        env={**os.environ, "ZOBENCH_CACHE": str(tmp_path / "cache")},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: python -m pip install 'zobench[ray]'",
)
def test_ray_against_worker_processes(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Prints seconds per run and one-time seconds of each engine with one and two workers."""
    took(tmp_path, MANY, "--jobs", "2")  # renders the images into the cache
    print(f"\n  {'engine':<8}{'workers':>8}{'s a run':>9}{'s once':>8}{'speed-up':>10}")
    for engine, words in ENGINES.items():
        alone = 0.0
        for workers in (1, 2):
            few, many = (
                took(tmp_path, seeds, *words, "--jobs", str(workers)) for seeds in (FEW, MANY)
            )
            run = (many - few) / (MANY - FEW)
            alone = alone or run
            once = few - FEW * run
            print(f"  {engine:<8}{workers:>8}{run:>9.2f}{once:>8.1f}{alone / run:>10.2f}")
            benchmark.extra_info[f"{engine} {workers}"] = run
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
