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


def recordable(device: torch.device) -> bool:
    """Whether passes on a device can be recorded."""
    return device.type == "cuda"


class RecordedForward:
    """A forward pass that is recorded for batches of one size; others are computed as before.

    The recording is checked on random images against the pass that was recorded.

    Args:
        forward: Maps images ``(N, 1 or C, H, W)`` in [0, 1] to embeddings ``(N, D)``.
        size: The number of images of the passes to record.
        shape: The shape ``(C, H, W)`` of an image.
        device: The device of the recording.
        tolerance: Largest difference of a replayed embedding, relative to the largest number.
        record: Records a function whose inputs keep their places in the device's memory.

    Raises:
        RuntimeError: The pass cannot be recorded, needs more memory than there is, or gives other
            embeddings when it is replayed.
    """

    def __init__(
        self,
        forward: Forward,
        size: int,
        shape: tuple[int, int, int],
        device: torch.device,
        tolerance: float,
        record: Callable[[Callable[[], Tensor], torch.device], Recording] | None = None,
    ) -> None:
        self._forward = forward
        with torch.inference_mode(False), torch.no_grad():  # it is replayed in either mode
            self._batch = torch.zeros(size, *shape, device=device)
            run = record or cuda_graph
            self._replay, self._embeddings = run(lambda: forward(self._batch), device)
            noise = torch.rand(size, *shape, generator=torch.Generator().manual_seed(0))
            wanted, recorded = forward(noise), self(noise)
        if not float((recorded - wanted).abs().max()) <= tolerance * float(wanted.abs().max()):
            raise RuntimeError("its embeddings differ when the recorded pass is replayed")

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of images ``(N, 1 or C, H, W)`` on any device, without gradients."""
        if len(images) != len(self._batch):
            return self._forward(images)
        self._batch.copy_(images, non_blocking=True)
        self._replay()
        return self._embeddings.clone()


def cuda_graph(run: Callable[[], Tensor], device: torch.device) -> Recording:
    """Records a function on a CUDA device.

    Raises:
        RuntimeError: The function waits for the device, or there is too little memory.
    """
    with torch.cuda.device(device):
        calling, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(calling)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    run()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                result = run()
        finally:  # a failed capture leaves the process on the side stream
            torch.cuda.set_stream(calling)
        calling.wait_stream(side)
    return graph.replay, result
