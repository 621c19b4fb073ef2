"""How much of a run is the encoder; ``pytest tests/benchmarks --benchmark-only -s`` prints it.

Ratios are measured side by side in one process, in alternation, because machines drift.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.assembly import make_parts
from zobench.config import RunConfig
from zobench.embedding import MeteredEncoder
from zobench.heads import Head
from zobench.images import load_images
from zobench.ledger import Ledger
from zobench.loop import Loop
from zobench.objective import Objective
from zobench.oracle import Oracle
from zobench.plugins import load_registry
from zobench.progress import Silence
from zobench.store import RunFolder

ITERATIONS = 3


def config(samples: int = 10, budget: int = 1280 * ITERATIONS) -> RunConfig:
    sizes = {"train": 200, "test_per_cell": 2}
    return RunConfig(budget=budget, overrides={"split": sizes, "optimizer": {"samples": samples}})


def make_loop(config: RunConfig, folder: Path) -> Loop:
    parts = make_parts(config, load_registry(), Silence())
    films = load_images(parts.dataset, parts.split.train)
    metered = MeteredEncoder(parts.encoder, Ledger())
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(2, metered.spec.embedding_dim)), np.zeros(2))
    sequence = np.random.SeedSequence(0)
    objective = Objective(films, metered, head, config.penalty, config.batch_size, sequence)
    feedback = parts.optimizer.feedback
    oracle = Oracle(objective, parts.space, metered.ledger, config.budget, feedback)
    return Loop(parts.optimizer, oracle, RunFolder(folder), [], Silence(), time.perf_counter)


def test_a_gezo_run_against_the_bare_encoder(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Wall time of the whole loop over that of the encoder alone on as many images."""
    chunk_images = torch.rand(32, 1, 224, 224)
    ratios = []

    def pair(number: int) -> None:
        loop = make_loop(config(), tmp_path / str(number))
        encoder = loop.oracle.objective.encoder._encoder
        chunk = int(encoder.spec.settings["chunk"])
        images = torch.rand(chunk, 1, 224, 224) if chunk != 32 else chunk_images
        started = time.perf_counter()
        loop.run()
        run_seconds = time.perf_counter() - started
        queries = loop.oracle.ledger.optimize.queries
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(-(-queries // chunk)):
                encoder.embed(images)
        ratios.append(run_seconds / (time.perf_counter() - started))

    benchmark.pedantic(lambda: [pair(len(ratios)) for _ in range(3)], rounds=1, iterations=1)
    print(
        f"\nloop / bare encoder: {[round(r, 3) for r in ratios]}, {statistics.median(ratios):.3f}"
    )
    benchmark.extra_info["loop_over_encoder"] = statistics.median(ratios)


def test_the_share_of_the_machines_matrix_rate(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Arithmetic of the encoder's matrix products over a large fp32 product's, both a second."""
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


@pytest.mark.parametrize(("samples", "budget"), [(2, 2560), (2, 7680), (20, 7680)])
def test_peak_memory_does_not_follow_budget_or_points(
    benchmark: BenchmarkFixture, tmp_path: Path, samples: int, budget: int
) -> None:
    """Peak of Python-visible allocations beside the points themselves, in MB."""
    loop = make_loop(config(samples, budget), tmp_path / "run")
    encoder = loop.oracle.objective.encoder._encoder
    seen = []

    def watched(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.numel() * 4 / 1e6)
        return type(encoder).embed(encoder, images)

    encoder.embed = watched  # type: ignore[method-assign]
    tracemalloc.start()
    benchmark.pedantic(loop.run, rounds=1, iterations=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(
        f"\nK={2 * samples}, budget {budget}: largest batch {max(seen):.0f} MB, heap {peak / 1e6:.0f} MB"
    )
    benchmark.extra_info.update(largest_batch_mb=max(seen), heap_mb=peak / 1e6)
    assert max(seen) <= encoder.spec.block * 224 * 224 * 4 / 1e6
