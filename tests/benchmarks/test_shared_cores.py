"""``vit-mae`` alone and beside other programs: threads that sleep soon when they wait, and that spin.

Each measurement is a process of its own, since the library of the threads reads the environment once.

``pytest tests/benchmarks/test_shared_cores.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.cli.waiting_threads import SPINS

ROUNDS = 5
USUAL = 300_000
"""Rounds that GNU's library lets a waiting thread spin by itself."""

MODELS = str(Path(__file__).parents[1] / "encoders")
EMBED = """
import statistics, sys, time, torch
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_models import make
encoder = make("vit-mae", Path(sys.argv[1]), chunk=16)
images = torch.rand(96, 1, 224, 224)
speeds = []
with torch.inference_mode():
    for _ in range(4):
        began = time.perf_counter()
        encoder.embed(images)
        speeds.append(len(images) / (time.perf_counter() - began))
print(statistics.median(speeds[1:]))  # the first pass chooses its kernels
"""


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Other programs that would use a core each."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def speed(folder: str, spins: int) -> float:
    """Images/s of a process with as many threads as there are cores."""
    others = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
    done = subprocess.run(
        [sys.executable, "-c", EMBED, folder, MODELS],
        env={**others, "GOMP_SPINCOUNT": str(spins)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["alone", "half", "all"])
def test_beside_programs_on_a_share_of_the_cores(
    benchmark: BenchmarkFixture, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(tmp_path_factory.mktemp("models"))
    speeds: dict[int, list[float]] = {SPINS: [], USUAL: []}

    def alternate() -> None:
        for spins, each in speeds.items():
            each.append(speed(folder, spins))

    with busy(round(share * (os.cpu_count() or 1))):
        benchmark.pedantic(alternate, rounds=ROUNDS, iterations=1)
    ours, usual = (statistics.median(speeds[spins]) for spins in (SPINS, USUAL))
    benchmark.extra_info |= {"ours": ours, "usual": usual, "ratio": ours / usual}
    print(
        f"\n  vit-mae beside programs on {share:.0%} of the cores: {ours:.0f} images/s with "
        f"{SPINS:,} rounds, {usual:.0f} with {USUAL:,}; ratio {ours / usual:.2f}"
    )
