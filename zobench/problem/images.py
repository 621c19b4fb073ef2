"""Images in memory: stored with 8 bits, returned as float32 in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.dataset import Dataset, Pixels, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Images:
    """The images of one part of a split, with their labels, all of equal length.

    Attributes:
        pixels: ``(n, C, H, W)``, 8-bit.
        label: Disease y.
        sensitive: Sensitive attribute a.
        patient: Patient numbers.
    """

    pixels: Pixels
    label: Rows
    sensitive: Rows
    patient: Rows

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, rows: slice) -> Images:
        """The images of a slice of rows, without a copy."""
        return Images(self.pixels[rows], self.label[rows], self.sensitive[rows], self.patient[rows])

    def batch(self, rows: Rows | slice) -> Tensor:
        """Images as float32 in [0, 1]."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(self.pixels[rows])).float().div_(255.0)

    def edited(self, rows: Rows, edits: Tensor, owner: Rows) -> Tensor:
        """Images as float32, each with its edit added.

        Args:
            rows: The images, ``(n,)``.
            edits: Edits ``(K, 1, H, W)``.
            owner: The edit of each image, ``(n,)``.
        """
        first, steps = int(owner[0]), np.diff(owner)
        if not steps.any():
            return self.batch(rows).add_(edits[first])
        if (steps == 1).all():  # one each: no copy is needed
            return self.batch(rows).add_(edits[first : first + len(owner)])
        return self.batch(rows).add_(edits[owner])

    def blocks(self, size: int) -> Iterator[slice]:
        """Consecutive slices of at most ``size`` images."""
        return slices(len(self), size)


def slices(length: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``length``."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def load_images(dataset: Dataset, rows: Rows, progress: ReportProgress = silent) -> Images:
    """The images of ``rows`` in memory.

    Raises:
        PluginError: The dataset gives other pixels than ``(n, C, H, W)`` of 8 bits.
    """
    records, wanted = dataset.records, (len(rows), *dataset.spec.shape)
    pixels = dataset.pixels(rows, progress)
    if pixels.shape != wanted or pixels.dtype != np.uint8:
        raise PluginError(
            f"dataset {dataset.spec.name!r} gives pixels {pixels.shape} of type {pixels.dtype}, but "
            f"must give {wanted} of type uint8; see: zobench plugin check {dataset.spec.name}"
        )
    return Images(
        pixels=pixels,
        label=records.label[rows],
        sensitive=records.sensitive[rows],
        patient=records.patient[rows],
    )
