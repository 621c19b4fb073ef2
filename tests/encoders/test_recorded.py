"""Forward passes that are recorded and replayed; a CUDA graph itself only where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from zobench_encoders import local
from zobench_encoders import recorded as recorded_passes
from zobench_encoders.local import TOLERANCE, LocalEncoder
from zobench_encoders.recorded import RecordedForward, Recording, cuda_graph
from zobench_encoders.vit_mae import VitMaeParameters, vit_mae

from zobench.contracts.encoder import EncoderRequest
from zobench.errors import EncoderError

CPU, SHAPE = torch.device("cpu"), (3, 4, 4)
Record = Callable[[Callable[[], Tensor], torch.device], Recording]


class Doubling:
    """Doubles pixels, in three channels, and counts the batches that it was called with."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return doubled(images)


def doubled(images: Tensor) -> Tensor:
    return 2 * images.expand(-1, 3, -1, -1).flatten(1)


def over_one_result(run: Callable[[], Tensor], _: torch.device) -> Recording:
    """Computes anew into the same tensor, as a CUDA graph does."""
    result = run().clone()

    def replay() -> None:
        result.copy_(run())

    return replay, result


def frozen(run: Callable[[], Tensor], _: torch.device) -> Recording:
    """A recording that missed what the result depends on."""
    return (lambda: None), run().clone()


def unable(run: Callable[[], Tensor], _: torch.device) -> Recording:
    raise RuntimeError("operation not permitted when stream is capturing")


def recorded(forward: Callable[[Tensor], Tensor], record: Record) -> RecordedForward:
    return RecordedForward(forward, 3, SHAPE, CPU, 1e-6, record)


@pytest.mark.parametrize("channels", [1, 3])
def test_answers_are_right_and_stay_when_the_pass_is_replayed(channels: int) -> None:
    forward = recorded(Doubling(), over_one_result)
    batches = [torch.rand(count, channels, 4, 4) for count in (3, 3, 2, 3)]
    answers = [forward(each) for each in batches]
    for batch, answer in zip(batches, answers, strict=True):
        assert torch.equal(answer, doubled(batch))


def test_only_batches_of_the_size_are_replayed() -> None:
    plain, other = Doubling(), Doubling()
    forward = recorded(plain, over_one_result)
    forward._forward = other  # what is replayed is what was recorded
    for count in (3, 2, 3, 4):
        forward(torch.rand(count, 3, 4, 4))
    assert other.sizes == [2, 4]


def test_a_recording_is_replayed_in_inference_mode_and_outside_it() -> None:
    with torch.inference_mode():
        forward = recorded(Doubling(), over_one_result)
        batch = torch.rand(3, *SHAPE)
        assert torch.equal(forward(batch), doubled(batch))
    assert torch.equal(forward(2 * batch), doubled(2 * batch))


@pytest.mark.parametrize(
    ("record", "words"), [(frozen, "differ when the recorded"), (unable, "is capturing")]
)
def test_a_pass_that_cannot_be_recorded_or_differs_is_an_error(record: Record, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        recorded(Doubling(), record)


def test_a_cpu_has_no_recorded_path(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"recorded path on a GPU only.*runs on cpu"):
        encoder(tmp_path, "cpu", "recorded")


def encoder(cache: Path, device: str, path: str, chunk: int = 8) -> LocalEncoder:
    request = EncoderRequest("vit-mae", "", device, "fp32", cache)
    return vit_mae(request, VitMaeParameters(chunk=chunk, path=path))


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a CPU record."""
    monkeypatch.setattr(local, "recordable", lambda _: True)
    monkeypatch.setattr(recorded_passes, "cuda_graph", over_one_result)


@pytest.mark.usefixtures("recording")
def test_a_recorded_encoder_says_what_it_recorded_and_is_resumed_alike(tmp_path: Path) -> None:
    images = torch.rand(11, 1, 224, 224)
    made = {path: encoder(tmp_path, "cpu", path) for path in ("eager", "fused", "recorded")}
    with torch.inference_mode():
        found = {path: each.embed(images) for path, each in made.items()}
    assert not torch.equal(found["fused"], found["eager"])
    assert torch.equal(found["recorded"], found["fused"])
    settings = made["recorded"].spec.settings
    assert (settings["path"], settings["recorded"]) == ("recorded", "fused")
    for base in ("fused", "eager"):
        before = {**settings, "recorded": base}
        request = EncoderRequest("vit-mae", "", "cpu", "fp32", tmp_path, before)
        with torch.inference_mode():
            resumed = vit_mae(request, VitMaeParameters())
            assert torch.equal(resumed.embed(images), found[base])
        assert resumed.spec.settings == before


@pytest.mark.usefixtures("recording")
def test_where_memory_is_short_the_pass_that_was_recorded_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encoder(tmp_path, "cpu", "recorded")
    images = torch.rand(8, 1, 224, 224)

    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("test")

    monkeypatch.setattr(RecordedForward, "__call__", full)
    with torch.inference_mode():
        assert torch.equal(made.embed(images), encoder(tmp_path, "cpu", "fused", 4).embed(images))
    settings = made.spec.settings
    assert (settings["path"], settings["chunk"]) == ("fused", 4)
    assert "recorded" not in settings


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_gpu
@pytest.mark.parametrize("chunk", [8, 12])
def test_a_cuda_graph_gives_the_embeddings_of_the_network(tmp_path: Path, chunk: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 1, 224, 224), dtype=np.uint8)
    rows, owner = rng.integers(0, 40, 30), np.repeat([0, 1], 15)
    edits = 0.05 * torch.randn(2, 1, 224, 224)
    found = []
    for path in ("eager", "recorded"):
        made = encoder(tmp_path, "cuda:0", path, chunk=chunk)
        assert isinstance(made._forward, RecordedForward) == (path == "recorded")
        with torch.inference_mode():
            plain = made.embed(torch.from_numpy(pixels).float() / 255)
            found.append(torch.cat([plain, made.embed_edited(pixels, rows, edits, owner)]).cpu())
    tolerance = TOLERANCE[torch.float32] * float(found[0].abs().max())
    assert float((found[0] - found[1]).abs().max()) <= tolerance


@needs_gpu
def test_a_failed_recording_leaves_the_stream_as_it_was() -> None:
    device = torch.device("cuda:0")
    numbers = torch.rand(3, device=device)
    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        cuda_graph(lambda: numbers * numbers.sum().item(), device)
    assert torch.cuda.current_stream() == before
    replay, result = cuda_graph(lambda: 2 * numbers, device)
    replay()
    assert torch.equal(result, 2 * numbers)
