"""The price of an image when each point has one image, against 64 images a point."""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.contracts.optimizer import Ask
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.oracle import Oracle
from zobench.problem.heads import Head
from zobench.problem.images import load_images
from zobench.registry.discovery import load_registry
from zobench.runs.parts import make_parts
from zobench.runs.search_parts import TrainingData, make_evaluator

PAIRS, IMAGES = 9, 512


@pytest.mark.parametrize("space", ["pixel", "dct:12"])
def test_one_image_a_point_costs_as_much_as_64(benchmark: BenchmarkFixture, space: str) -> None:
    """Seconds per image with b = 1, relative to b = 64 and to the bare encoder, in turn."""
    sizes = {"train": 200, "test_per_cell": 2}
    config = RunConfig(optimizer="scattered-probes", space=space, overrides={"split": sizes})
    parts = make_parts(config, load_registry(), Silence())
    films = load_images(parts.dataset, parts.split.train)
    metered = MeteredEncoder(parts.encoder, Ledger())
    rng = np.random.default_rng(0)
    dimension = metered.spec.embedding_dim
    head = Head(rng.normal(size=(2, dimension)), np.zeros(2))
    clean = rng.normal(size=(len(films), dimension)).astype(np.float32)
    data = TrainingData(films, clean, head)
    evaluator = make_evaluator(config, parts.resolved.objective, data, metered)
    oracle = Oracle(evaluator, parts.space, 10**9, "embeddings")
    ratios: list[tuple[float, float]] = []
    chunk = int(parts.encoder.spec.settings["chunk"])
    images = torch.rand(chunk, 1, 224, 224)

    def bare() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(IMAGES // chunk):
                parts.encoder.embed(images)
        return time.perf_counter() - started

    def seconds(each: int) -> float:
        count = IMAGES // each
        points = 0.01 * torch.randn(count, *parts.space.shape)
        rows = rng.integers(0, len(films), (count, each))
        started = time.perf_counter()
        oracle.query(Ask(points, rows=rows))
        return time.perf_counter() - started

    def pair() -> None:
        one = seconds(1)
        ratios.append((one / seconds(64), one / bare()))

    pair()
    ratios.clear()
    benchmark.pedantic(pair, rounds=PAIRS, iterations=1)
    to_many, to_bare = (statistics.median(column) for column in zip(*ratios, strict=True))
    benchmark.extra_info |= {"to_64_images": to_many, "to_bare_encoder": to_bare}
    print(
        f"\n{space}: an image of a point with b = 1 takes {to_many:.3f} times as long as with b = 64, "
        f"and {to_bare:.3f} times as long as in the bare encoder"
    )
