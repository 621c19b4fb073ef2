"""The protocol of all services: it turns images into a request, and a reply into embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .exchange import Call, ServiceReply
from .request_failure import RequestFailure

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ServiceProperties:
    """The properties of a service that requests and the encoder's spec depend on.

    Attributes:
        image_shape: ``(C, H, W)`` of the images that are sent.
        exact_floats: Whether pixels arrive as they are; ``False`` for 8-bit pictures.
        chunk: Number of images per request.
        digest: Identifies the model, from all details that the service gives.
        settings: Further settings that decide how images are sent.
    """

    image_shape: tuple[int, int, int]
    exact_floats: bool
    chunk: int
    digest: str
    settings: Mapping[str, str | int] = field(default_factory=dict)


class Service(Protocol):
    """Writes requests for embeddings, and reads the replies."""

    @property
    def properties(self) -> ServiceProperties:
        """The properties of the service."""
        ...

    def call(self, images: Tensor) -> Call:
        """The request for the embeddings of images ``(N, C, H, W)``."""
        ...

    def read(self, reply: ServiceReply, images: int) -> Floats:
        """The embeddings ``(N, D)`` in a reply.

        Raises:
            RequestFailure: The reply does not fit the request.
        """
        ...


def as_embeddings(values: Floats, images: int) -> Floats:
    """The rows of a reply, after a check: one row per image, all values finite.

    Raises:
        RequestFailure: The number of rows is not ``images``, or a row holds NaN or infinity.
    """
    if len(values) != images:
        raise RequestFailure("doubtful", f"{len(values)} embeddings came for {images} images")
    flat = values.reshape(images, -1)
    if flat.shape[1] == 0:
        raise RequestFailure("doubtful", "the embeddings that came have no numbers")
    if not np.isfinite(flat).all():
        raise RequestFailure("doubtful", "an embedding that came holds NaN or infinity")
    return np.ascontiguousarray(flat, dtype=np.float32)
