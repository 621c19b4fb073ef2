"""Small requests of many clients, embedded together; one call of the encoder at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.encoder import Encoder, checked_embeddings

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]


class Full(Exception):
    """A request is refused because too many images are waiting.

    Attributes:
        seconds: The number of seconds after which the client should retry.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"try again in {seconds:.1f} seconds")
        self.seconds = seconds


@dataclass(frozen=True)
class _Job:
    images: Tensor
    answer: asyncio.Future[Floats]


def _fail(job: _Job, fault: Exception) -> None:
    if not job.answer.done():  # the client may have disconnected
        job.answer.set_exception(fault)


class Batcher:
    """Queues images and embeds them in batches, in the order in which they came.

    The arrival times decide which requests share a batch. The embedding of an image should not
    depend on the other images in its batch.
    """

    def __init__(self, encoder: Encoder, *, batch: int, wait: float, capacity: int) -> None:
        """Nothing runs before :meth:`start`.

        Args:
            encoder: The encoder that embeds the images.
            batch: Images per encoder call; a single larger request is not divided.
            wait: Seconds that a request waits for further requests to share its batch.
            capacity: Images that may wait; a request beyond this number is refused.
        """
        self._encoder, self._batch, self._wait, self._capacity = encoder, batch, wait, capacity
        self._jobs: deque[_Job] = deque()
        self._came = asyncio.Event()
        self._waiting = 0
        self._rate = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to serve the queue."""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def stop(self) -> None:
        """Stops the task after the current encoder call has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True)

    async def embed(self, images: Tensor) -> Floats:
        """Embeddings ``(N, D)`` of ``(N, C, H, W)``.

        Raises:
            Full: Too many images are waiting.
            EncoderError: The encoder failed.
        """
        if self._waiting and self._waiting + len(images) > self._capacity:
            raise Full(self._waiting / self._rate if self._rate else 1.0)
        job = _Job(images, asyncio.get_running_loop().create_future())
        self._waiting += len(images)
        self._jobs.append(job)
        self._came.set()
        try:
            return await job.answer
        finally:
            self._waiting -= len(images)

    async def _serve(self) -> None:
        while True:
            jobs = await self._gather()
            try:
                await self._answer(jobs)
            except Exception as fault:
                if len(jobs) == 1:
                    _fail(jobs[0], fault)
                    continue
                for job in jobs:  # one by one: an error of one request must not fail the others
                    try:
                        await self._answer([job])
                    except Exception as error:
                        _fail(job, error)

    async def _answer(self, jobs: list[_Job]) -> None:
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        answer = await loop.run_in_executor(self._thread, self._forward, jobs)
        self._rate = len(answer) / (time.perf_counter() - started)
        begin = 0
        for job in jobs:
            end = begin + len(job.images)
            if not job.answer.done():  # the client may have disconnected
                job.answer.set_result(answer[begin:end])
            begin = end

    async def _gather(self) -> list[_Job]:
        """The first job, and the jobs that arrive within ``wait`` seconds and fit the batch."""
        await self._arrival(None)
        jobs = [self._jobs.popleft()]
        count, deadline = len(jobs[0].images), time.monotonic() + self._wait
        while count < self._batch:
            if not self._jobs and not await self._arrival(deadline - time.monotonic()):
                break
            if count + len(self._jobs[0].images) > self._batch:
                break
            jobs.append(self._jobs.popleft())
            count += len(jobs[-1].images)
        return jobs

    async def _arrival(self, seconds: float | None) -> bool:
        """Waits for a job at most so many seconds; whether a job is in the queue."""
        while not self._jobs:
            self._came.clear()
            if seconds is not None and seconds <= 0:
                return False
            try:
                await asyncio.wait_for(self._came.wait(), seconds)
            except TimeoutError:
                return False
        return True

    def _forward(self, jobs: list[_Job]) -> Floats:
        import torch

        images = jobs[0].images if len(jobs) == 1 else torch.cat([job.images for job in jobs])
        with torch.inference_mode():
            answer = self._encoder.embed(images)
        embeddings: Floats = (
            checked_embeddings(self._encoder.spec, len(images), answer).cpu().numpy()
        )
        return embeddings
