"""The contract of an encoder: images in, embeddings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zobench.errors import EncoderError

if TYPE_CHECKING:
    from torch import Tensor

    from .dataset import Pixels, Rows


@dataclass(frozen=True)
class EncoderSpec:
    """The self-description of an encoder; it goes into the manifest of every run.

    Attributes:
        name: As typed by the user.
        image_shape: The image shape ``(C, H, W)``; one-channel images are broadcast to C.
        embedding_dim: D, the dimension of an embedding.
        differentiable: Whether gradients flow back through :meth:`Encoder.embed`.
        exact_floats: ``False`` if images are rounded to 8-bit pixels before they are embedded.
        digest: Identifies architecture and weights.
        block: The largest number of images for one call of :meth:`Encoder.embed`.
        settings: Device, precision, chunk and other settings that can change an embedding.
        notes: Warnings to show beside every result.
        price: The price that a service bills per image; 0 if there is no bill or it is not known.
    """

    name: str
    image_shape: tuple[int, int, int]
    embedding_dim: int
    differentiable: bool
    exact_floats: bool
    digest: str
    block: int
    settings: Mapping[str, str | int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    price: float = 0.0


@dataclass(frozen=True)
class EncoderOutlook:
    """What is known of a service before anything is sent to it.

    Attributes:
        image_shape: The image shape ``(C, H, W)``, as far as the parameters tell.
        chunk: Images of a request; 0 if the service tells it.
        price: The price of an image; 0 if it is not known.
        shape_known: Whether the service takes that shape; ``False`` if it tells its own.
        check_every: Images between two that check whether the service is what it was; 0 for none.
    """

    image_shape: tuple[int, int, int]
    chunk: int = 0
    price: float = 0.0
    shape_known: bool = True
    check_every: int = 0

    def checks(self, images: int, shared: int = 0) -> int:
        """Images that check the service: first, last, and while ``images`` others are sent.

        Args:
            images: The other images.
            shared: Sets of them that are shared with other runs, each after a check of its own.
        """
        return 2 + shared + images // self.check_every if self.check_every and images else 0


class Encoder(Protocol):
    """A frozen encoder."""

    @property
    def spec(self) -> EncoderSpec:
        """The self-description."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` float32 of ``(N, C, H, W)`` float32 images around [0, 1].

        Splits the images into chunks that the device or the service can take. If the encoder is
        differentiable and ``images`` requires a gradient, the embeddings require a gradient.
        """
        ...

    def close(self) -> None:
        """Releases devices and connections."""
        ...


@runtime_checkable
class EditingEncoder(Encoder, Protocol):
    """An encoder that adds edits to 8-bit images itself, such as in the memory of its device.

    The method is optional: for an encoder without it, the images are edited before they are sent.
    """

    def embed_edited(self, pixels: Pixels, rows: Rows, edits: Tensor, owner: Rows) -> Tensor:
        """Embeddings ``(n, D)`` float32 of ``pixels[rows] / 255 + edits[owner]``.

        They agree with :meth:`embed` of these images within the encoder's precision. The arguments are
        never changed: edits may be the optimizer's own points.

        Args:
            pixels: All images of a part of the split, ``(N, C, H, W)`` 8-bit.
            rows: The images to embed, ``(n,)``.
            edits: Edits ``(K, 1, H, W)``.
            owner: The edit of each image, ``(n,)``.
        """
        ...


@dataclass(frozen=True)
class EncoderRequest:
    """The user's request to an encoder.

    Attributes:
        name: As typed, ``family`` or ``family:argument``.
        argument: The text after the colon, or ``""``.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        cache: Folder for values that the encoder can measure again, such as chunk sizes.
        settings: ``EncoderSpec.settings`` of a resumed run; empty for a new run. Measured values,
            such as the chunk, are reused, so that embeddings stay equal to the last bit.
    """

    name: str
    argument: str
    device: str
    precision: str
    cache: Path
    settings: Mapping[str, str | int] = field(default_factory=dict)


def checked_embeddings(spec: EncoderSpec, images: int, embeddings: Tensor) -> Tensor:
    """Returns the embeddings if they have the shape that ``spec`` declares and are finite.

    Raises:
        EncoderError: Wrong shape, or values that are not finite.
    """
    import torch

    if tuple(embeddings.shape) != (images, spec.embedding_dim):
        raise EncoderError(
            f"encoder {spec.name} answered shape {tuple(embeddings.shape)} for {images} images; "
            f"it declares embedding_dim={spec.embedding_dim}, so ({images}, {spec.embedding_dim})"
        )
    finite = torch.isfinite(embeddings).all(dim=1)
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0])
        raise EncoderError(
            f"encoder {spec.name} answered NaN or infinity for {int((~finite).sum())} of {images} "
            f"images (the first is number {first} of its call); nothing was recorded of this batch"
        )
    return embeddings
