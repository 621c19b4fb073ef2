"""Cost of a process per run and of checksums.

``pytest tests/benchmarks/test_reliability.py --benchmark-only -n 0 -s`` prints the figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tiny import SIZES, config
from zobench_plugins.executors.local import LocalExecutor

import zobench
from zobench.contracts.executor import ExecutorRequest
from zobench.files import checksums, json_files, row_files, tensor_files
from zobench.records import inventory
from zobench.suite.planning import Job
from zobench.suite.work import work

pytestmark = pytest.mark.usefixtures("tiny_installed")

ROUNDS = 12
USERS = (json_files, row_files, tensor_files, inventory)
"""Modules that compute checksums."""


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    made = LocalExecutor(ExecutorRequest(tmp_path, jobs=1))
    yield made
    made.close()


def test_a_process_for_each_run(
    benchmark: BenchmarkFixture, tmp_path: Path, executor: LocalExecutor
) -> None:
    """Seconds that a process of its own adds to a run, against runs in this process, in turn."""
    took: dict[str, list[float]] = {"own process": [], "this process": []}
    for number in range(ROUNDS + 1):
        seeded = config("random", SIZES).changed(seed=number)
        for way, seconds in took.items():
            job = Job(seeded, tmp_path / way / str(number), f"{way} {number}")
            began = time.perf_counter()
            if way == "own process":
                executor.submit(job)
                ((_, outcome),) = executor.as_completed(120)
            else:
                outcome = work(job)
            assert outcome.state == "done"
            if number:  # the first one also loads torch
                seconds.append(time.perf_counter() - began)
    own, this = (statistics.median(took[way]) for way in took)
    benchmark.extra_info.update(added=own - this, own=own, this=this)
    benchmark.pedantic(lambda: None, rounds=1)
    print(f"\n  own process {own:.3f} s, this process {this:.3f} s, added {own - this:.3f} s a run")


def test_checksums(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Share of a run of vit-mae that is spent on checksums, and the bytes that they cover."""
    spent, covered = [0.0], [0]

    def timed(content: Any, before: str = "") -> str:
        began = time.perf_counter()
        found = checksums.checksum(content, before)
        spent[0] += time.perf_counter() - began
        covered[0] += len(content)
        return found

    for module in USERS:
        monkeypatch.setattr(module, "checksum", timed)
    sizes = {"split": {"train": 200, "test_per_cell": 40}}
    began = time.perf_counter()
    run = zobench.run(out=tmp_path, optimizer="random", budget=3_200, overrides=sizes)
    run.files.require_whole()
    whole = time.perf_counter() - began
    benchmark.extra_info.update(
        share=spent[0] / whole, seconds=spent[0], megabytes=covered[0] / 1e6
    )
    benchmark.pedantic(lambda: None, rounds=1)
    print(
        f"\n  checksums of {covered[0] / 1e6:.1f} MB took {1e3 * spent[0]:.1f} ms of {whole:.1f} s "
        f"({spent[0] / whole:.3%})"
    )
