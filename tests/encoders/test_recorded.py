"""Forward passes that are recorded and replayed; a CUDA graph itself only where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from zobench_encoders.local import TOLERANCE
from zobench_encoders.recorded import RecordedForward, Recording
from zobench_encoders.vit_mae import VitMaeParameters, vit_mae

from zobench.contracts.encoder import EncoderRequest
from zobench.errors import EncoderError

CPU = torch.device("cpu")


class Doubling:
    """Doubles pixels, and counts the batches that it was called with."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return 2 * images.flatten(1)


def over_one_result(run: Callable[[], Tensor], _: torch.device) -> Recording:
    """Computes anew into the same tensor, as a CUDA graph does."""
    result = run().clone()
    return (lambda: result.copy_(run()) and None), result


def frozen(run: Callable[[], Tensor], _: torch.device) -> Recording:
    """A recording that missed what the result depends on."""
    return (lambda: None), run().clone()


def unable(run: Callable[[], Tensor], _: torch.device) -> Recording:
    raise RuntimeError("operation not permitted when stream is capturing")


def images(count: int) -> Tensor:
    return torch.rand(count, 1, 4, 4)


def test_answers_are_right_and_stay_when_the_pass_is_replayed() -> None:
    forward = RecordedForward(Doubling(), 3, CPU, 0.0, over_one_result)
    batches = [images(each) for each in (3, 3, 2, 3)]
    answers = [forward(each) for each in batches]
    for batch, answer in zip(batches, answers, strict=True):
        assert torch.equal(answer, 2 * batch.flatten(1))


def test_a_recording_made_in_inference_mode_is_replayed_outside_it() -> None:
    forward = RecordedForward(Doubling(), 3, CPU, 0.0, over_one_result)
    with torch.inference_mode():
        forward(images(3))
    batch = images(3)
    assert torch.equal(forward(batch), 2 * batch.flatten(1))


def test_only_batches_of_the_size_are_recorded_and_it_is_tried_once() -> None:
    made: list[int] = []

    def counted(run: Callable[[], Tensor], device: torch.device) -> Recording:
        made.append(len(run()))
        return over_one_result(run, device)

    forward = RecordedForward(Doubling(), 3, CPU, 0.0, counted)
    for count in (2, 3, 3, 4):
        forward(images(count))
    assert made == [3]
    first = RecordedForward(Doubling(), 0, CPU, 0.0, counted)
    for count in (2, 3):
        first(images(count))
    assert made == [3, 2]


@pytest.mark.parametrize("record", [frozen, unable])
def test_what_cannot_be_recorded_or_differs_is_computed_as_it_comes(
    record: Callable[[Callable[[], Tensor], torch.device], Recording],
) -> None:
    plain = Doubling()
    forward = RecordedForward(plain, 3, CPU, 1e-5, record)
    for batch in (images(3), images(3)):
        assert torch.equal(forward(batch), 2 * batch.flatten(1))
        assert plain.sizes[-1] == 3


def test_a_cpu_has_no_recorded_path(tmp_path: Path) -> None:
    request = EncoderRequest("vit-mae", "", "cpu", "fp32", tmp_path)
    with pytest.raises(EncoderError, match=r"recorded path on a GPU only.*runs on cpu"):
        vit_mae(request, VitMaeParameters(chunk=4, path="recorded"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cuda_graph_gives_the_embeddings_of_the_network(tmp_path: Path, precision: str) -> None:
    request = EncoderRequest("vit-mae", "", "cuda:0", precision, tmp_path)
    found = []
    for path in ("eager", "recorded"):
        encoder = vit_mae(request, VitMaeParameters(chunk=8, path=path))
        generator = torch.Generator().manual_seed(0)
        batches = [torch.rand(8, 1, 224, 224, generator=generator) for _ in range(3)]
        with torch.inference_mode():
            found.append(torch.cat([encoder.embed(each) for each in batches]).cpu())
    tolerance = TOLERANCE[torch.bfloat16 if precision == "bf16" else torch.float32]
    assert float((found[0] - found[1]).abs().max()) <= tolerance * float(found[0].abs().max())
