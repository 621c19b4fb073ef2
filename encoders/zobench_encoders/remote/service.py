"""What all services have in common: how images become a request, and a reply becomes embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .exchange import Call, Fault, Reply

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Traits:
    """What is known of a service once it was spoken to.

    Attributes:
        image_shape: ``(C, H, W)`` that is sent.
        exact_floats: Whether pixels arrive as they are; ``False`` for 8-bit pictures.
        chunk: Images a request.
        digest: Identifies the model as far as the service tells.
        settings: What else decides how images travel.
    """

    image_shape: tuple[int, int, int]
    exact_floats: bool
    chunk: int
    digest: str
    settings: Mapping[str, str | int] = field(default_factory=dict)


class Service(Protocol):
    """A way to ask for embeddings."""

    @property
    def traits(self) -> Traits:
        """What is known of it."""
        ...

    def call(self, images: Tensor) -> Call:
        """The request that asks for the embeddings of ``(N, C, H, W)``."""
        ...

    def read(self, reply: Reply, images: int) -> Floats:
        """The embeddings ``(N, D)`` in a reply.

        Raises:
            Fault: The reply is not one to the request.
        """
        ...


def as_embeddings(values: Floats, images: int) -> Floats:
    """Rows of a reply, if there is one an image and all are finite.

    Raises:
        Fault: There are more or fewer, or one holds NaN or infinity.
    """
    if len(values) != images:
        raise Fault("doubtful", f"{len(values)} embeddings came for {images} images")
    flat = values.reshape(images, -1)
    if flat.shape[1] == 0:
        raise Fault("doubtful", "the embeddings that came have no numbers")
    if not np.isfinite(flat).all():
        raise Fault("doubtful", "an embedding that came holds NaN or infinity")
    return np.ascontiguousarray(flat, dtype=np.float32)
