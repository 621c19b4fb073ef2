"""The fastest path and chunk size of an encoder: measured once per encoder and device, then cached.

A path is a way to compute the same embeddings. On a CPU the best chunk depends on the size of the
CPU cache (4 to 32 images are faster than 128 by half). On a GPU the best chunk fills the device. A
wrong guess costs more time than the measurement.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from zobench.errors import StoreError
from zobench.files.json_files import read_json, write_json

CPU_CANDIDATES = (4, 8, 16, 32, 64)
GPU_CANDIDATES = (8, 32, 64, 128, 256, 512, 1024)
SECONDS_EACH = 0.2
LEAST_GAIN = 1.03
"""A larger chunk, or another path, is taken if it is faster by this ratio."""

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Choice:
    """A path by its name, and the number of images of a forward pass."""

    path: str
    chunk: int


def fastest(
    key: str,
    device: torch.device,
    images: Callable[[int], Tensor],
    paths: Mapping[str, Forward],
    cache: Path,
) -> Choice:
    """The path and the chunk size with the most images per second.

    Args:
        key: Identifies the encoder and its precision.
        device: The device that the encoder runs on.
        images: Makes a batch of the given length.
        paths: The forward pass of each path, the one that is probably fastest first.
        cache: Folder that stores the choice; a read-only folder stores none.
    """
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    full_key = (
        f"{key}-{'|'.join(paths)}-{device.type}-{hardware}-{torch.get_num_threads()}-"
        f"torch{torch.__version__}"
    )
    path = cache / "forward.json"
    if choice := _known(path, full_key, paths):
        return choice
    with ExitStack() as stack:  # of processes that start together, one measures and the others read
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(cache / "forward.lock"))
        if choice := _known(path, full_key, paths):
            return choice
        best = _measure(device, images, paths)
        if best:
            with suppress(StoreError):
                write_json(path, {**_read(path), full_key: asdict(best)}, durable=False)
    return best or Choice(next(iter(paths)), 1)


def _known(path: Path, key: str, paths: Mapping[str, Forward]) -> Choice | None:
    """The stored choice; ``None`` where there is none that fits, which measures anew."""
    match _read(path).get(key):
        case {"path": str(name), "chunk": int(chunk)} if name in paths and chunk > 0:
            return Choice(name, chunk)
    return None


def _read(path: Path) -> dict[str, Any]:
    """Choices by encoder; none where the file is missing or damaged."""
    try:
        return read_json(path) if path.exists() else {}
    except (StoreError, OSError):
        return {}


def _measure(
    device: torch.device, images: Callable[[int], Tensor], paths: Mapping[str, Forward]
) -> Choice | None:
    """The smallest of the fastest chunks of the first path, and the fastest path with that chunk.

    ``None`` if not even the smallest chunk fits in memory.
    """
    first, *others = paths
    batches: dict[int, Tensor] = {}
    rates: dict[int, float] = {}
    for count in CPU_CANDIDATES if device.type == "cpu" else GPU_CANDIDATES:
        batch = images(count)
        rate = _rate(device, batch, paths[first])
        if rate is None:
            break
        batches[count], rates[count] = batch, rate
        if count / rate > 4 * SECONDS_EACH:
            break
    if not rates:
        return None
    for count, batch in batches.items():  # once more: another process may have slowed one of them
        rates[count] = max(rates[count], _rate(device, batch, paths[first], warm=True) or 0.0)
    enough = max(rates.values()) / LEAST_GAIN
    chunk = min(count for count, rate in rates.items() if rate >= enough)
    best, best_rate = first, rates[chunk]
    for name in others:
        rate = _rate(device, batches[chunk], paths[name]) or 0.0
        if rate > LEAST_GAIN * best_rate:  # once more: another process may have ended in between
            again = _rate(device, batches[chunk], paths[best], warm=True)
            best_rate = max(best_rate, again or 0.0)
        if rate > LEAST_GAIN * best_rate:
            best, best_rate = name, rate
    return Choice(best, chunk)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that the device or the machine is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _rate(
    device: torch.device, images: Tensor, forward: Forward, warm: bool = False
) -> float | None:
    """Images per second; ``None`` if they do not fit in memory.

    Args:
        device: The device.
        images: The images of each pass.
        forward: The pass.
        warm: Whether such a pass was made before; else one is made that is not counted.
    """
    try:
        batch = images.to(device)
        with torch.inference_mode():
            if not warm:
                forward(batch)
            started, done = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS_EACH:
                forward(batch)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                done += len(batch)
            return done / (time.perf_counter() - started)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None
