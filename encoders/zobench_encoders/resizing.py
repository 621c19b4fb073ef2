"""Images of one size for a network that takes another: resized so that gradients flow."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

FILTERS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the filters that an image processor file names."""


class Resized(nn.Module):
    """A network behind a resizing with an antialiasing filter, as Pillow's.

    Args:
        network: Takes images of ``side`` x ``side`` pixels.
        side: The network's side in pixels.
        resample: Pillow's number of the filter; others than bilinear are bicubic.
    """

    def __init__(self, network: nn.Module, side: int, resample: int = 3) -> None:
        super().__init__()
        self.network, self._side, self._filter = network, side, FILTERS.get(resample, "bicubic")

    def forward(self, images: Tensor) -> Tensor:
        """The network's answer to images of any size."""
        if tuple(images.shape[2:]) != (self._side, self._side):
            size = (self._side, self._side)
            images = F.interpolate(images, size=size, mode=self._filter, antialias=True)
        answer: Tensor = self.network(images)
        return answer
