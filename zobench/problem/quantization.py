"""8-bit transport: what a service sees of an image that travels as a picture file."""

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
    """Images as 8-bit pixels show them: clipped to [0, 1], then the nearest of 256 levels."""
    return (images.clamp(0, 1) * LEVELS).round() / LEVELS


def pixels(images: Tensor) -> NDArray[np.uint8]:
    """The 8-bit pixels themselves, ``(N, C, H, W)``."""
    import torch

    found: NDArray[np.uint8] = (images.clamp(0, 1) * LEVELS).round().to(torch.uint8).numpy()
    return found


@dataclass(frozen=True)
class Sent:
    """What is left of an edit after 8-bit transport.

    Attributes:
        changed: Share of pixels, over all images, that differ from those without the edit.
        distortion: Root mean square of (what arrived - the edit), relative to that of the edit.
    """

    changed: float
    distortion: float


def what_arrives(images: Images, edit: Tensor, block: int = 64) -> Sent:
    """Compares an edit ``(1, H, W)`` with what 8-bit transport leaves of it on images.

    An edit far below 0.5/255 vanishes, since images come with 8 bits; one that leads out of [0, 1] is
    clipped.
    """
    changed = error = size = 0.0
    count = 0
    for rows in images.blocks(block):
        clean = images.batch(rows)
        arrived = rounded(clean + edit) - rounded(clean)
        changed += float((arrived != 0).sum())
        error += float((arrived.double() - edit).square().sum())
        size += float(edit.double().square().sum()) * len(clean)
        count += arrived.numel()
    return Sent(changed / count, float(np.sqrt(error / size)) if size else 0.0)


class Rounded:
    """An encoder behind 8-bit transport; a stand-in for a service that takes picture files."""

    def __init__(self, encoder: Encoder) -> None:
        """Gradients do not pass rounding, so the encoder gives none any more."""
        self._encoder = encoder

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder, without exact floats and gradients."""
        spec = self._encoder.spec
        settings = {**spec.settings, "bits": 8}
        return replace(spec, differentiable=False, exact_floats=False, settings=settings)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings of the rounded images."""
        return self._encoder.embed(rounded(images))

    def close(self) -> None:
        """Lets the encoder go."""
        self._encoder.close()
