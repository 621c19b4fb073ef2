"""Times for ten thousand runs.

Run it with ``pytest tests/benchmarks/test_scale.py --benchmark-only -n 0 -s``.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from benchmarks.many import copies
from pytest_benchmark.fixture import BenchmarkFixture
from tiny import SIZES, run

from zobench.config import RunConfig
from zobench.contracts.executor import Outcome, Progress
from zobench.contracts.listener import Silence
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.run_folder import RunFolder
from zobench.records.run_search import find_runs
from zobench.records.summary_line import summary_lines
from zobench.registry.discovery import load_registry
from zobench.reporting.report import write_report
from zobench.reporting.sampling import sample
from zobench.suite.file import TARGETS, read_suite
from zobench.suite.planning import Job, plan
from zobench.suite.running import run_jobs

RUNS = 10_000
SUITE = """
optimizers = [{optimizers}]
encoders = ["tiny"]
datasets = ["tiny"]
diseases = ["spots"]
spaces = ["pixel", "lowres:4", "dct:4", "patch:4"]
seeds = 500

[run]
budget = 1280
batch_size = 10

[split]
train = 120
test_per_cell = 40
"""
NAMES = '"random", "gezo", "spsa", "zo-sgd", "openai-es"'


class Instant:
    """An engine whose runs take no time."""

    capacity = 64

    def __init__(self) -> None:
        self._at: list[Job] = []

    def submit(self, job: Job) -> None:
        self._at.append(job)

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        ended, self._at = self._at, []
        for job in ended:
            yield job, Outcome("done")

    def progress(self, job: Job) -> Progress | None:
        return None

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


class Nobody:
    def show(self, standings: object, errors: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def once(benchmark: BenchmarkFixture, seconds: float, words: str) -> None:
    benchmark.extra_info["seconds"] = seconds
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    print(f"\n  {words}: {seconds:.2f} s")


def test_planning(benchmark: BenchmarkFixture, tiny_installed: None, tmp_path: Path) -> None:
    """Seconds to check every run of a suite and to compute its identity."""
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.format(optimizers=NAMES))
    registry = load_registry()
    began = time.perf_counter()
    jobs = plan(read_suite(path), path, tmp_path / "runs", registry, Silence())
    once(benchmark, time.perf_counter() - began, f"{len(jobs):,} runs planned")
    assert len(jobs) == RUNS


def test_driving(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Seconds that the suite itself needs for runs that take no time."""
    jobs = [Job(RunConfig(seed=seed), tmp_path / str(seed), str(seed)) for seed in range(RUNS)]
    began = time.perf_counter()
    running = run_jobs(jobs, Instant(), Nobody(), lambda: False)
    once(benchmark, time.perf_counter() - began, f"{RUNS:,} runs driven")
    assert len(running.those("done")) == RUNS
    print(f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB resident at most")


def test_ten_thousand_folders(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Seconds to list the runs, to draw 200 of them, and to write a report."""
    original = run(tmp_path / "original", optimizer="adam", overrides=SIZES).run_dir
    folder = copies(original, tmp_path, 20, RUNS // 20)
    folders = layout.run_folders(folder)
    assert len(folders) == RUNS
    for words, work in (
        ("10,000 runs listed", lambda: list(summary_lines(Location(folder), load_registry()))),
        ("200 of 10,000 runs drawn", lambda: sample(find_runs([Location(folder)]), 200)),
        (
            "page about 200 of 10,000 runs",
            lambda: write_report(
                [Location(folder)],
                tmp_path / "page.html",
                title="",
                targets=TARGETS,
                most=200,
            ),
        ),
    ):
        began = time.perf_counter()
        work()
        print(f"\n  {words}: {time.perf_counter() - began:.2f} s", end="")
    once(benchmark, 0.0, "done")


@pytest.mark.parametrize("side", [224])
def test_snapshots(benchmark: BenchmarkFixture, tmp_path: Path, side: int) -> None:
    """Seconds to write and sync one snapshot."""
    folder = RunFolder(tmp_path / "run")
    edit = torch.rand(1, side, side)
    numbers = iter(range(10_000))
    benchmark(lambda: folder.write_snapshot(next(numbers), edit))
    folder.close()
    sizes = [path.stat().st_size for path in (tmp_path / "run" / "snapshots").iterdir()]
    print(f"\n  {max(sizes) / 1024:.0f} KiB a snapshot, {max(sizes) / 1e3:.0f} GB a million")
