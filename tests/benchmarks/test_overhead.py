"""The encoder's share of a run; ``pytest tests/benchmarks --benchmark-only -n 0 -s`` prints it.

The two times of a ratio are measured alternately in one process, because machine speed changes.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.oracle import Oracle
from zobench.problem.heads import Head
from zobench.problem.images import load_images
from zobench.records.run_folder import RunFolder
from zobench.registry.discovery import load_registry
from zobench.runs.loop import Loop
from zobench.runs.parts import make_parts
from zobench.runs.search_parts import TrainingData, make_evaluator, make_optimizer

PAIRS = 9


def config(
    samples: int = 10,
    budget: int = 1280,
    images: int = 64,
    encoder: str = "vit-mae",
    **encoder_settings: object,
) -> RunConfig:
    settings = {
        "split": {"train": 200, "test_per_cell": 2},
        "optimizer": {"samples": samples},
        "encoder": encoder_settings,
    }
    return RunConfig(encoder=encoder, budget=budget, batch_size=images, overrides=settings)


def make_loop(config: RunConfig, folder: Path) -> Loop:
    parts = make_parts(config, load_registry(), Silence())
    films = load_images(parts.dataset, parts.split.train)
    metered = MeteredEncoder(parts.encoder, Ledger())
    rng = np.random.default_rng(0)
    dimension = metered.spec.embedding_dim
    head = Head(rng.normal(size=(2, dimension)), np.zeros(2))
    clean = rng.normal(size=(len(films), dimension)).astype(np.float32)
    evaluator = make_evaluator(
        config, parts.resolved.objective, TrainingData(films, clean, head), metered
    )
    oracle = Oracle(evaluator, parts.space, config.budget, parts.feedback)
    optimizer = make_optimizer(config, parts.resolved.optimizer, parts.space, None)
    return Loop(optimizer, oracle, RunFolder(folder), [], Silence(), time.perf_counter)


@pytest.mark.gated
def test_a_gezo_run_against_the_bare_encoder(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Wall time of the whole loop, relative to the encoder alone on the same number of images."""
    ratios: list[float] = []
    faults = 0

    def pair() -> None:
        nonlocal faults
        loop = make_loop(config(), tmp_path / str(len(ratios)))
        encoder = loop.oracle.evaluator.encoder._encoder
        chunk = int(encoder.spec.settings["chunk"])
        images = torch.rand(chunk, 1, 224, 224)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        started = time.perf_counter()
        loop.run()
        run_seconds = time.perf_counter() - started
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        queries = loop.oracle.ledger.optimize.queries
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(-(-queries // chunk)):
                encoder.embed(images)
        ratios.append(run_seconds / (time.perf_counter() - started))

    pair()
    ratios.clear()
    benchmark.pedantic(pair, rounds=PAIRS, iterations=1)
    middle = statistics.median(ratios)
    print(
        f"\nloop / bare encoder: {[round(r, 3) for r in ratios]}, median {middle:.3f}; "
        f"page faults an image {faults / config().budget:.1f}"
    )
    benchmark.extra_info |= {"loop_over_encoder": middle, "faults": faults / config().budget}


def test_the_share_of_the_machines_matrix_rate(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """FLOP per second of the encoder's matrix products, relative to a large fp32 product."""
    parts = make_parts(config(), load_registry(), Silence())
    encoder = parts.encoder
    chunk = int(encoder.spec.settings["chunk"])
    images = torch.rand(chunk, 1, 224, 224)
    width, depth, tokens, patch = 128, 3, 196, 256
    per_token = depth * (12 * width**2 + 2 * tokens * width) + patch * width + 16 * width
    flops = 2 * (tokens * per_token + tokens * 16 * 128)
    square = torch.rand(2048, 2048)
    shares = []

    def pair() -> None:
        with torch.inference_mode():
            started = time.perf_counter()
            for _ in range(5):
                square @ square
            peak = 5 * 2 * 2048**3 / (time.perf_counter() - started)
            started = time.perf_counter()
            for _ in range(10):
                encoder.embed(images)
            rate = 10 * chunk / (time.perf_counter() - started)
        shares.append((rate * flops / peak, rate, peak))

    pair()
    benchmark.pedantic(pair, rounds=5, iterations=1)
    share, rate, peak = (statistics.median(column) for column in zip(*shares, strict=True))
    print(f"\n{rate:.0f} images/s, {share:.0%} of {peak / 1e9:.0f} GFLOP/s (chunk {chunk})")
    benchmark.extra_info.update(share=share, images_per_second=rate, matrix_rate=peak)


MEASURED_CHILD = """
import sys, tempfile
from pathlib import Path
from test_overhead import config, make_loop
from zobench.testing.memory import resident_peak
import time
with tempfile.TemporaryDirectory() as folder:
    loop = make_loop(config(int(sys.argv[1]), int(sys.argv[2])), Path(folder) / "run")
    started = time.perf_counter()
    loop.run()
    seconds = time.perf_counter() - started
print(resident_peak(), seconds / int(sys.argv[2]))
"""


def measured(samples: int, budget: int) -> tuple[float, float]:
    """Peak resident memory in MB and seconds per query of a new process with only this loop."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED_CHILD, str(samples), str(budget)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    peak, seconds = map(float, done.stdout.split())
    return peak * 1e-6, seconds


def test_memory_and_time_per_query_do_not_follow_budget_or_points(
    benchmark: BenchmarkFixture,
) -> None:
    """Four times the budget and ten times the points raise the peak by less than 10 %."""
    runs = {"K=4": (2, 2560), "K=4, budget x 4": (2, 10240), "K=40, budget x 4": (20, 10240)}

    def measure() -> dict[str, tuple[float, float]]:
        measured(2, 1280)  # fills the cache and measures the chunk size for later runs
        return {name: measured(*run) for name, run in runs.items()}

    found = benchmark.pedantic(measure, rounds=1, iterations=1)
    for name, (peak, seconds) in found.items():
        print(f"\n{name}: peak resident {peak:.0f} MB, {1e3 * seconds:.2f} ms a query", end="")
        benchmark.extra_info |= {f"{name}, MB": peak, f"{name}, s": seconds}
    print()
    least, *others = (peak for peak, _ in found.values())
    assert max(others) < 1.1 * least
