"""Images/s of the fused path beside the network's own code, and of bf16 beside fp32, in turn.

``pytest tests/benchmarks/test_forward_paths.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from zobench.contracts.encoder import Encoder

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
from small_models import make

ROUNDS = 7
DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
GPU_TIMES = 64
"""Times as many images a round on a GPU."""

ENCODERS = {
    "vit-mae": 128,
    "vit-mae:plain": 128,
    "dinov2-s14": 16,
    "efficientnet-lite0": 64,
    "timm:vit_base_patch16_224": 8,
    "timm:resnet50": 16,
}
"""Images a round."""


@pytest.mark.parametrize("name", ENCODERS)
def test_the_fused_path_against_the_networks_own_code(
    benchmark: BenchmarkFixture, tmp_path: Path, name: str
) -> None:
    """Each path has the chunk that is fastest for it."""
    paths = {path: make(name, tmp_path, DEVICE, chunk=0, path=path) for path in ("eager", "fused")}
    _compare(benchmark, name, paths)


@pytest.mark.skipif(
    DEVICE == "cpu" and not torch.cpu._is_avx512_bf16_supported(), reason="this CPU has no bf16"
)
@pytest.mark.parametrize("name", ENCODERS)
def test_bf16_against_fp32(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    """Each precision has the path and the chunk that are fastest for it."""
    kinds = {
        kind: make(name, tmp_path, DEVICE, precision=kind, chunk=0, path="auto")
        for kind in ("fp32", "bf16")
    }
    _compare(benchmark, name, kinds)


def _compare(benchmark: BenchmarkFixture, name: str, encoders: Mapping[str, Encoder]) -> None:
    """Measures two encoders in turn; the ratio is that of the second one."""
    count = ENCODERS[name] * (1 if DEVICE == "cpu" else GPU_TIMES)
    images = torch.rand(count, 1, 224, 224)
    rates: dict[str, list[float]] = {kind: [] for kind in encoders}
    faults = dict.fromkeys(encoders, 0)

    def alternate() -> None:
        for kind, encoder in encoders.items():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            started = time.perf_counter()
            with torch.inference_mode():
                encoder.embed(images).cpu()  # waits for the device
            rates[kind].append(count / (time.perf_counter() - started))
            faults[kind] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    alternate()
    for each in rates.values():
        each.clear()
    benchmark.pedantic(alternate, rounds=ROUNDS, iterations=1)
    usual, other = encoders
    ratio = statistics.median(
        new / old for new, old in zip(rates[other], rates[usual], strict=True)
    )
    with torch.inference_mode():
        difference = _difference(*(each.embed(images) for each in encoders.values()))
    middle = {kind: statistics.median(each) for kind, each in rates.items()}
    benchmark.extra_info |= {"ratio": ratio, **middle, "difference": difference}
    told = ", ".join(
        f"{kind} {middle[kind]:.1f} images/s ({_path(encoder)}, page faults an image "
        f"{faults[kind] / count:.1f})"
        for kind, encoder in encoders.items()
    )
    print(f"\n  {name}: {told}; ratio {ratio:.2f}; relative difference {difference:.1e}")


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max())


def _path(encoder: Encoder) -> str:
    settings = encoder.spec.settings
    return f"{settings['path']}, chunk {settings['chunk']}"
