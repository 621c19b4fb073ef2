"""Forward passes on a GPU that are recorded once as a CUDA graph and replayed.

The processor starts the kernels of a pass one by one, which takes longer than a small network's
arithmetic. A recorded pass is started as one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .measuring import Forward

WARM_UP = 3
"""Passes before the recording, in which libraries choose their kernels and take their memory."""

Recording = tuple[Callable[[], None], Tensor]
"""A function that computes anew, and the tensor that then holds the result."""


class RecordedForward:
    """A forward pass that is recorded for batches of one size; others are computed as they come.

    A pass that cannot be recorded, or gives other embeddings when it is replayed, is computed as it
    comes, too.

    Args:
        forward: Maps images ``(N, C, H, W)`` in [0, 1] to embeddings ``(N, D)``.
        size: The number of images of the passes to record; 0 for that of the first batch.
        device: The device of the recording.
        tolerance: Largest difference of a replayed embedding, relative to the largest number.
        record: Records a function whose inputs keep their places in the device's memory.
    """

    def __init__(
        self,
        forward: Forward,
        size: int,
        device: torch.device,
        tolerance: float,
        record: Callable[[Callable[[], Tensor], torch.device], Recording] | None = None,
    ) -> None:
        self._forward, self._size = forward, size
        self._device, self._tolerance = device, tolerance
        self._record = record or cuda_graph
        self._recorded: tuple[Tensor, Recording] | None = None
        self._tried = False

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of images ``(N, C, H, W)`` on any device, without gradients."""
        if not self._tried and len(images) == (self._size or len(images)):
            self._tried = True
            self._recorded = self._try(images)
        if self._recorded is None or images.shape != self._recorded[0].shape:
            return self._forward(images)
        return _replayed(images, *self._recorded)

    def _try(self, images: Tensor) -> tuple[Tensor, Recording] | None:
        """A batch and a recording, if it can be made and agrees on images it was not made with."""
        with torch.inference_mode(False):  # else it could be written in that mode only
            batch = torch.empty_like(images, device=self._device)
        batch.copy_(images)
        others = 0.5 * images
        try:
            recording = self._record(lambda: self._forward(batch), self._device)
            wanted, found = self._forward(others), _replayed(others, batch, recording)
        except RuntimeError:  # code that waits for the device, or too little memory
            return None
        difference = float((found - wanted).abs().max())
        agrees = difference <= self._tolerance * float(wanted.abs().max())
        return (batch, recording) if agrees else None


def _replayed(images: Tensor, batch: Tensor, recording: Recording) -> Tensor:
    replay, embeddings = recording
    batch.copy_(images, non_blocking=True)
    replay()
    return embeddings.clone()


def cuda_graph(run: Callable[[], Tensor], device: torch.device) -> Recording:
    """Records a function on a CUDA device.

    Raises:
        RuntimeError: It does something that cannot be recorded, or there is too little memory.
    """
    with torch.cuda.device(device):
        before, apart = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        apart.wait_stream(before)
        with torch.cuda.stream(apart):
            for _ in range(WARM_UP):
                run()
        before.wait_stream(apart)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = run()
    return graph.replay, result
