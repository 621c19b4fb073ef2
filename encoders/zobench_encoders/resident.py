"""8-bit images that stay in the memory of a device, so that each is sent there once."""

from __future__ import annotations

import torch
from torch import Tensor

from zobench.contracts.dataset import Pixels, Rows

from .measuring import out_of_memory

LEVELS = 255.0
"""The largest 8-bit pixel."""


class ResidentPixels:
    """Copies of pixel arrays on one device; an array that does not fit is sent in parts.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[int, tuple[Pixels, Tensor | None]] = {}
        """Arrays by their identity; holding the array keeps the number from being used again."""

    def rows(self, pixels: Pixels, rows: Rows) -> Tensor:
        """Rows ``(n,)`` of an array ``(N, C, H, W)``, 8-bit, on the device."""
        if self._device.type == "cpu":
            return torch.from_numpy(pixels[rows])
        found = self._resident(pixels)
        if found is None:
            return torch.from_numpy(pixels[rows]).to(self._device)
        return found[torch.from_numpy(rows).to(self._device)]

    def _resident(self, pixels: Pixels) -> Tensor | None:
        if id(pixels) not in self._known:
            copy: Tensor | None
            try:
                copy = torch.tensor(pixels, device=self._device)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                copy = None
            self._known[id(pixels)] = (pixels, copy)
        return self._known[id(pixels)][1]
