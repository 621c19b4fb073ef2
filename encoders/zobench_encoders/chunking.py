"""The fastest chunk size of an encoder: measured once per encoder and device, then cached.

On a CPU the best chunk depends on the size of the CPU cache (16 to 64 films are faster than 128 by
half). On a GPU the best chunk fills the device. A wrong guess costs more time than the measurement.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from zobench.errors import StoreError
from zobench.files.json_files import read_json, write_json

CPU_CANDIDATES = (8, 16, 32, 64)
GPU_CANDIDATES = (8, 32, 64, 128, 256, 512, 1024)
SECONDS_EACH = 0.3


def chunk_size(
    key: str,
    device: torch.device,
    images: Callable[[int], Tensor],
    forward: Callable[[Tensor], Tensor],
    cache: Path,
) -> int:
    """The chunk size with the most images per second.

    Args:
        key: Identifies the encoder and its precision.
        device: The device that the encoder runs on.
        images: Makes a batch of the given length.
        forward: Runs one chunk.
        cache: Folder that stores the chunk size; a read-only folder stores none.
    """
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    full_key = f"{key}-{device.type}-{hardware}-{torch.get_num_threads()}-torch{torch.__version__}"
    path = cache / "chunks.json"
    if known := _read(path).get(full_key):
        return known
    with ExitStack() as stack:  # of processes that start together, one measures and the others read
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(cache / "chunks.lock"))
        if known := _read(path).get(full_key):
            return known
        best = _measure(device, images, forward)
        if best:
            with suppress(StoreError):
                write_json(path, {**_read(path), full_key: best}, durable=False)
    return best or 1


def _read(path: Path) -> dict[str, int]:
    """Chunk sizes by encoder; none where the file is missing or damaged, which measures anew."""
    try:
        return read_json(path) if path.exists() else {}
    except (StoreError, OSError):
        return {}


def _measure(
    device: torch.device, images: Callable[[int], Tensor], forward: Callable[[Tensor], Tensor]
) -> int:
    """The fastest candidate, each timed briefly; 0 if even the smallest does not fit in memory."""
    best, best_rate = 0, 0.0
    for count in CPU_CANDIDATES if device.type == "cpu" else GPU_CANDIDATES:
        try:
            batch = images(count).to(device)
            with torch.inference_mode():
                forward(batch)
                rate = _rate(device, batch, forward)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            break
        if rate > 1.03 * best_rate:
            best, best_rate = count, rate
        if count / rate > 4 * SECONDS_EACH:
            break
    return best


def out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that the device or the machine is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _rate(device: torch.device, batch: Tensor, forward: Callable[[Tensor], Tensor]) -> float:
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS_EACH:
        forward(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        done += len(batch)
    return done / (time.perf_counter() - started)
