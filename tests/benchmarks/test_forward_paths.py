"""Images/s of the fused path beside the network's own code, in turn.

``pytest tests/benchmarks/test_forward_paths.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
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
    count = ENCODERS[name] * (1 if DEVICE == "cpu" else GPU_TIMES)
    images = torch.rand(count, 1, 224, 224)
    paths = {path: make(name, tmp_path, DEVICE, chunk=0, path=path) for path in ("eager", "fused")}
    rates: dict[str, list[float]] = {path: [] for path in paths}
    faults = dict.fromkeys(paths, 0)

    def alternate() -> None:
        for path, encoder in paths.items():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            started = time.perf_counter()
            with torch.inference_mode():
                encoder.embed(images).cpu()  # waits for the device
            rates[path].append(count / (time.perf_counter() - started))
            faults[path] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    alternate()
    for each in rates.values():
        each.clear()
    benchmark.pedantic(alternate, rounds=ROUNDS, iterations=1)
    ratio = statistics.median(
        fused / eager for fused, eager in zip(rates["fused"], rates["eager"], strict=True)
    )
    with torch.inference_mode():
        difference = _difference(*(each.embed(images) for each in paths.values()))
    middle = {path: statistics.median(each) for path, each in rates.items()}
    benchmark.extra_info |= {"ratio": ratio, **middle, "difference": difference}
    print(
        f"\n  {name}: fused {middle['fused']:.1f} images/s (chunk {_chunk(paths['fused'])}), eager "
        f"{middle['eager']:.1f} (chunk {_chunk(paths['eager'])}), ratio {ratio:.2f}; relative "
        f"difference {difference:.1e}; page faults an image {faults['fused'] / count:.1f}"
    )


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max())


def _chunk(encoder: Encoder) -> int:
    return int(encoder.spec.settings["chunk"])
