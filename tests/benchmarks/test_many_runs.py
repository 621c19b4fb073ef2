"""Times of many runs; ``pytest tests/benchmarks --benchmark-only -n 0 -s -k many`` prints them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.many import SHORT, copies
from browser import chrome
from pytest_benchmark.fixture import BenchmarkFixture
from tiny import SIZES, run

import zobench
from zobench.contracts.listener import Silence
from zobench.files.location import Location
from zobench.records.summary_line import summary_lines
from zobench.registry.discovery import load_registry
from zobench.reporting.report import write_report
from zobench.suite.file import TARGETS, read_suite
from zobench.suite.planning import plan
from zobench.suite.work import work


def once(benchmark: BenchmarkFixture, measured: Any, **figures: float) -> None:
    """Calls ``measured`` once, prints the figures, and stores them in the benchmark's record."""
    benchmark.extra_info.update(figures)
    benchmark.pedantic(measured, rounds=1, iterations=1)
    print("\n  " + ", ".join(f"{name}: {value:.2f}" for name, value in figures.items()))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache that holds the phantom's images and the chunk sizes for one and two workers."""
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    suite(tmp_path, tmp_path / "first", 1, '"random"', 1)
    suite(tmp_path, tmp_path / "second", 2, '"random"', 2)
    return tmp_path / "cache"


def suite(
    tmp_path: Path, out: Path, jobs: int, names: str, seeds: int, cores: set[int] | None = None
) -> float:
    """Seconds of a suite that finds images and chunk sizes in the cache, but no shared results.

    Args:
        tmp_path: The folder of the suite file.
        out: The folder of run folders.
        jobs: The number of workers.
        names: The optimizers, as TOML.
        seeds: The number of seeds.
        cores: The cores that the suite may use; all if ``None``.
    """
    shutil.rmtree(tmp_path / "cache" / "shared", ignore_errors=True)
    path = tmp_path / "suite.toml"
    path.write_text(SHORT.format(names=names, seeds=seeds))
    words = [sys.executable, "-m", "zobench", "suite", str(path), "--jobs", str(jobs)]
    before = os.sched_getaffinity(0)
    began = time.perf_counter()
    try:
        os.sched_setaffinity(0, cores or before)  # the suite's processes inherit the set of cores
        subprocess.run([*words, "--out", str(out)], check=True, capture_output=True)
    finally:
        os.sched_setaffinity(0, before)
    return time.perf_counter() - began


def test_two_workers_against_one(benchmark: BenchmarkFixture, tmp_path: Path, cache: Path) -> None:
    """Compares two workers on two cores with one worker on one core and one worker on two cores."""
    two = sorted(os.sched_getaffinity(0))[:2]
    ways = {"two workers": (2, set(two)), "one core": (1, {two[0]}), "one worker": (1, set(two))}
    took = {
        way: suite(tmp_path, tmp_path / way, jobs, '"gezo", "openai-es", "zo-sgd"', 4, cores)
        for way, (jobs, cores) in ways.items()
    }
    figures = {f"against {way}": took[way] / took["two workers"] for way in list(took)[1:]}
    once(benchmark, lambda: None, **figures, **took)


def test_sharing_against_computing_everything_again(
    benchmark: BenchmarkFixture, tmp_path: Path, cache: Path
) -> None:
    """Compares six optimizers on one problem with and without shared results."""
    path = tmp_path / "suite.toml"
    names = '"gezo", "openai-es", "zo-sgd", "spsa", "zo-adamm", "random"'
    path.write_text(SHORT.format(names=names, seeds=1))
    took = {"sharing": 0.0, "alone": 0.0}
    for how in took:
        shutil.rmtree(cache / "shared", ignore_errors=True)
        for job in plan(read_suite(path), path, tmp_path / how, load_registry(), Silence()):
            began = time.perf_counter()
            assert work(job).state == "done"
            took[how] += time.perf_counter() - began
            if how == "alone":
                shutil.rmtree(cache / "shared", ignore_errors=True)
    once(benchmark, lambda: None, speedup=took["alone"] / took["sharing"], **took)


@pytest.mark.gated
def test_two_thousand_run_folders(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Seconds to read the summary lines that ``zobench show FOLDER`` prints for 2,000 runs."""
    original = run(tmp_path / "original", optimizer="adam", overrides=SIZES).run_dir
    folder = copies(original, tmp_path, 20, 100)
    found = benchmark.pedantic(
        lambda: list(summary_lines(Location(folder), load_registry())), rounds=3
    )
    assert len(found) == 2000
    print(f"\n  {benchmark.stats.stats.mean:.2f} s for 2,000 runs")


def test_a_page_about_two_hundred_runs(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Size of the page, and seconds until the browser has loaded the page."""
    original = zobench.run(optimizer="adam", budget=960, out=tmp_path / "original").run_dir
    runs = copies(original, tmp_path, 20, 10)
    page = tmp_path / "report.html"
    write_report([Location(runs)], page, title="", targets=TARGETS)
    browser = chrome(tmp_path)

    def load() -> None:
        browser.get(page.as_uri())

    browser.get("about:blank")
    benchmark.pedantic(load, rounds=3)
    browser.quit()
    size = page.stat().st_size / 1e6
    print(f"\n  {size:.1f} MB, opens in {benchmark.stats.stats.mean:.2f} s")
