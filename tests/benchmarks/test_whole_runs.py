"""The README's first command as whole processes: with an empty cache, and again.

``pytest tests/benchmarks/test_whole_runs.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 5
TYPER_APP = """
import sys, typer
sys.argv = ["app", "--help"]
app = typer.Typer()
@app.command()
def one(number: int = 1): "A command."
@app.command()
def two(number: int = 1): "Another command."
app()
"""


def seconds(cache: Path, out: Path) -> float:
    """Wall time of the command, from the start of its process to the end."""
    command = [
        sys.executable,
        "-m",
        "zobench",
        "run",
        "--optimizer",
        "gezo",
        "--encoder",
        "vit-mae",
    ]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--out", str(out)],
        env={**os.environ, "ZOBENCH_CACHE": str(cache)},
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - started


def test_the_first_and_the_second_run(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The first run renders the films and measures path and chunk; the second finds all in the cache."""
    first: list[float] = []
    second: list[float] = []

    def pair() -> None:
        place = tmp_path / str(len(first))
        first.append(seconds(place / "cache", place / "one"))
        second.append(seconds(place / "cache", place / "two"))

    benchmark.pedantic(pair, rounds=ROUNDS, iterations=1)
    middle = statistics.median(first), statistics.median(second)
    benchmark.extra_info |= {"first": middle[0], "second": middle[1]}
    print(
        f"\n  first run: median {middle[0]:.1f} s of {[round(each, 1) for each in first]}; second: "
        f"median {middle[1]:.1f} s of {[round(each, 1) for each in second]}"
    )


def cpu_seconds(code: str) -> float:
    """CPU time of a new interpreter that runs this code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.gated
def test_the_help_beside_an_empty_typer_app(benchmark: BenchmarkFixture) -> None:
    """CPU time of ``zobench --help``, relative to the help of an app with two commands."""
    codes = {
        "help": "import sys; sys.argv = ['zobench', '--help']; from zobench.cli import main; main()",
        "typer": TYPER_APP,
        "imports": "import typer, rich",
    }
    times: dict[str, list[float]] = {name: [] for name in codes}

    def alternate() -> None:
        for name, code in codes.items():
            times[name].append(cpu_seconds(code))

    benchmark.pedantic(alternate, rounds=9, iterations=1, warmup_rounds=1)
    middle = {name: statistics.median(each) for name, each in times.items()}
    ratio = middle["help"] / middle["typer"]
    benchmark.extra_info |= {"help_over_typer_app": ratio, **middle}
    print(
        f"\n  zobench --help: {middle['help']:.3f} s of CPU time; an empty typer app: "
        f"{middle['typer']:.3f} s, ratio {ratio:.2f}; import typer, rich: {middle['imports']:.3f} s"
    )
