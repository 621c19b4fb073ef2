"""8-bit images that stay in the memory of a device, so that each is sent there once."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

from zobench.contracts.dataset import Pixels, Rows

from .measuring import out_of_memory

LEVELS = 255.0
"""The largest 8-bit pixel."""


ARRAYS = 2
"""Arrays that stay on a device: the training and the test images."""

SHARE = 0.25
"""Largest share of a GPU's free memory for an array; the rest is for the network."""


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU's tensor on a device; a GPU's copy does not wait for the work that is queued there."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        with suppress(RuntimeError):  # where memory cannot be locked, the copy waits
            tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class ResidentPixels:
    """Copies of the last pixel arrays on one device; an array that does not fit is sent in parts.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[int, tuple[Pixels, Tensor | None]] = {}
        """Arrays by their identity; holding the array keeps the number from being used again."""
        self._full = False

    def rows(self, pixels: Pixels, rows: Rows) -> Tensor:
        """Rows ``(n,)`` of an array ``(N, C, H, W)``, 8-bit, on the device."""
        resident = None if self._device.type == "cpu" else self._resident(pixels)
        if resident is None:
            return torch.from_numpy(pixels[rows]).to(self._device)
        return resident[sent(torch.from_numpy(rows), self._device)]

    def give_way(self) -> bool:
        """Frees the device's memory and keeps no more arrays there; whether that freed anything."""
        freed = any(copy is not None for _, copy in self._known.values())
        self._known, self._full = {}, True
        return freed

    def _resident(self, pixels: Pixels) -> Tensor | None:
        if self._full:
            return None
        if id(pixels) not in self._known:
            while len(self._known) >= ARRAYS:
                del self._known[next(iter(self._known))]
            self._known[id(pixels)] = (pixels, self._copied(pixels))
        return self._known[id(pixels)][1]

    def _copied(self, pixels: Pixels) -> Tensor | None:
        """A copy on the device; ``None`` if it would take too much of its memory."""
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            if pixels.nbytes > SHARE * free:
                return None
        try:
            return torch.tensor(pixels, device=self._device)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None
