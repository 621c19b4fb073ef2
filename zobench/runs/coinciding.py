"""Refuses an encoder that gives different images the same embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.encoder import EncoderSpec
from zobench.errors import EncoderError
from zobench.problem.images import Images

CHECKED = 256
"""Number of images that are compared, at most: the first ones."""


def require_distinct(spec: EncoderSpec, images: Images, embeddings: NDArray[np.float32]) -> None:
    """Checks that different images have different embeddings, for more than half of them.

    An encoder that takes pixels of another range than 0 to 1, or computes with too little precision,
    answers the same numbers for every image, and every result would be about nothing.

    Args:
        spec: The encoder's spec.
        images: The images.
        embeddings: Their embeddings ``(N, D)``.

    Raises:
        EncoderError: Half of the different images or more share an embedding with another one.
    """
    sent = len({image.tobytes() for image in images.pixels[:CHECKED]})
    answered = len({embedding.tobytes() for embedding in embeddings[:CHECKED]})
    if answered <= sent / 2 and sent > 1:
        raise EncoderError(
            f"encoder {spec.name} answered {answered} different embeddings for {sent} different "
            "images, so it cannot tell them apart; zobench sends pixels from 0 to 1: check the "
            "range that the encoder takes (its mean and standard deviation), and its precision "
            "(--precision fp32)"
        )
