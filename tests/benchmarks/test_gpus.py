"""A ViT-B/16 in bf16 on a GPU: its share of the matrix rate, and a run beside the bare encoder.

``pytest tests/benchmarks/test_gpus.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from test_overhead import config, make_loop

from zobench.contracts.encoder import Encoder
from zobench.contracts.listener import Silence
from zobench.registry.discovery import load_registry
from zobench.runs.parts import make_parts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

VIT_B = "timm:vit_base_patch16_224"
PATHS = ("eager", "fused", "recorded")
ROUNDS = 7
RUNS = [(VIT_B, "fused"), (VIT_B, "recorded"), ("vit-mae", "fused")]
SIDE = 8192
"""Rows of the matrices whose product is the device's matrix rate."""

WIDTH, DEPTH, TOKENS, PATCH = 768, 12, 197, 768
PRODUCTS = DEPTH * TOKENS * (12 * WIDTH**2 + 2 * TOKENS * WIDTH) + (TOKENS - 1) * PATCH * WIDTH
FLOP = 2 * PRODUCTS
"""Floating-point operations of the products and the attention of one image."""


def seconds(work: Callable[[], object], times: int) -> float:
    """Time on the device, of one call."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(times):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / times


def encoder(path: str) -> Encoder:
    return make_parts(config(encoder=VIT_B, path=path), load_registry(), Silence()).encoder


def test_the_share_of_the_matrix_rate(benchmark: BenchmarkFixture) -> None:
    """Images of a chunk lie on the device; paths alternate with a large product."""
    made = {path: encoder(path) for path in PATHS}
    chunks = {path: int(each.spec.settings["chunk"]) for path, each in made.items()}
    images = torch.rand(max(chunks.values()), 1, 224, 224, device="cuda:0")
    square = torch.randn(SIDE, SIDE, device="cuda:0", dtype=torch.bfloat16)
    found: dict[str, list[float]] = {path: [] for path in (*PATHS, "product")}

    @torch.inference_mode()
    def alternate() -> None:
        took = seconds(lambda: square @ square, 10)
        found["product"].append(2 * SIDE**3 / took)
        for path, each in made.items():
            embed = partial(each.embed, images[: chunks[path]])
            found[path].append(chunks[path] / seconds(embed, -(-2048 // chunks[path])))

    alternate()
    for each in found.values():
        each.clear()
    benchmark.pedantic(alternate, rounds=ROUNDS, iterations=1)
    rates = {name: statistics.median(each) for name, each in found.items()}
    peak = rates.pop("product")
    print(f"\n  {torch.cuda.get_device_name()}: {peak / 1e12:.0f} TFLOP/s in bf16")
    for path, rate in rates.items():
        share = rate * FLOP / peak
        benchmark.extra_info[path] = share
        print(f"  {path}: {rate:,.0f} images/s (chunk {chunks[path]}), {share:.1%} of it")


@pytest.mark.parametrize(("name", "path"), RUNS)
def test_a_gezo_run_against_the_bare_encoder(
    benchmark: BenchmarkFixture, tmp_path: Path, name: str, path: str
) -> None:
    """Wall time of the whole loop, relative to the encoder alone on images on the device."""
    ratios: list[float] = []
    rates: list[float] = []

    def pair() -> None:
        settings = config(budget=25_600, encoder=name, path=path)
        loop = make_loop(settings, tmp_path / str(len(ratios)))
        bare = loop.oracle.evaluator.encoder._encoder
        chunk = int(bare.spec.settings["chunk"])
        images = torch.rand(chunk, 1, 224, 224, device="cuda:0")
        with torch.inference_mode():
            bare.embed(images)
            torch.cuda.synchronize()
            started = time.perf_counter()
            loop.run()
            took = time.perf_counter() - started
            queries = loop.oracle.ledger.optimize.queries
            alone = seconds(lambda: bare.embed(images), -(-queries // chunk))
        ratios.append(took / (alone * -(-queries // chunk)))
        rates.append(queries / took)

    pair()
    ratios.clear()
    rates.clear()
    benchmark.pedantic(pair, rounds=ROUNDS, iterations=1)
    middle = statistics.median(ratios)
    print(f"\n  {name}, {path}: {statistics.median(rates):,.0f} queries/s, ratio {middle:.3f}")
    benchmark.extra_info |= {"loop_over_encoder": middle}
