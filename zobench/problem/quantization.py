"""8-bit transport: the rounding of an image that travels to a service as a picture file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.encoder import Encoder, EncoderSpec

from .images import Images

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 255


def rounded(images: Tensor) -> Tensor:
    """Images clipped to [0, 1] and rounded to the nearest of 256 levels."""
    return (images.clamp(0, 1) * LEVELS).round() / LEVELS


def pixels(images: Tensor) -> NDArray[np.uint8]:
    """The 8-bit pixels themselves, ``(N, C, H, W)``."""
    import torch

    levels: NDArray[np.uint8] = (images.clamp(0, 1) * LEVELS).round().to(torch.uint8).numpy()
    return levels


@dataclass(frozen=True)
class ArrivedEdit:
    """The part of an edit that is left after 8-bit transport.

    Attributes:
        changed: Share of the pixels of all images that the edit changes.
        distortion: RMS of (arrived edit - sent edit), divided by the RMS of the sent edit.
    """

    changed: float
    distortion: float


def arrived_edit(images: Images, edit: Tensor, block: int = 64) -> ArrivedEdit:
    """Compares an edit ``(1, H, W)`` with the difference that arrives after 8-bit transport.

    Images come with 8 bits, so an edit far below 0.5/255 vanishes. Pixels outside [0, 1] are
    clipped.
    """
    changed = error = size = 0.0
    count = 0
    for rows in images.blocks(block):
        clean = images.batch(rows)
        arrived = rounded(clean + edit) - rounded(clean)
        changed += float((arrived != 0).sum())
        error += float((arrived.double() - edit).square().sum())
        size += float(edit.double().expand(clean.shape[1:]).square().sum()) * len(clean)
        count += arrived.numel()
    return ArrivedEdit(changed / count, float(np.sqrt(error / size)) if size else 0.0)


class RoundedEncoder:
    """An encoder behind 8-bit transport; a stand-in for a service that takes picture files."""

    def __init__(self, encoder: Encoder) -> None:
        """Wraps an encoder; rounding has no gradient, so this encoder gives no gradients."""
        self._encoder = encoder

    @property
    def spec(self) -> EncoderSpec:
        """The wrapped encoder's spec with ``exact_floats=False`` and ``differentiable=False``."""
        spec = self._encoder.spec
        settings = {**spec.settings, "bits": 8}
        return replace(spec, differentiable=False, exact_floats=False, settings=settings)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings of the rounded images."""
        return self._encoder.embed(rounded(images))

    def close(self) -> None:
        """Closes the wrapped encoder."""
        self._encoder.close()
