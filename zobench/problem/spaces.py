"""The built-in search spaces: pixels, low resolution, low frequencies, one repeated tile.

Every map but a box is linear, so gradients flow back through its exact adjoint. Points are scaled so
that white points of standard deviation s become an edit whose root mean square is about s: a step size
means the same in any space. Norms and the penalty are always those of the edit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from zobench.contracts.parameters import cut, nearest
from zobench.contracts.space import Space
from zobench.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PixelSpace:
    """Every pixel of the edit is a coordinate of its own, as in the paper."""

    summary: ClassVar[str] = "every pixel of the edit, as in the paper"

    height: int
    width: int
    name: str = "pixel"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(1, H, W)``."""
        return (1, self.height, self.width)

    def decode(self, points: Tensor) -> Tensor:
        """The points themselves."""
        return points


@dataclass(frozen=True)
class SquareSpace:
    """A space of ``side`` x ``side`` numbers."""

    height: int
    width: int
    side: int

    family: ClassVar[str]
    letter: ClassVar[str] = "k"
    summary: ClassVar[str]

    @property
    def name(self) -> str:
        """``<family>:<side>``."""
        return f"{self.family}:{self.side}"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(1, side, side)``."""
        return (1, self.side, self.side)

    def decode(self, points: Tensor) -> Tensor:
        """The family's map from points to edits."""
        raise NotImplementedError


@dataclass(frozen=True)
class LowresSpace(SquareSpace):
    """A coarse picture, enlarged by bicubic interpolation."""

    family = "lowres"
    summary = "a picture of k x k, enlarged by bicubic interpolation"

    def decode(self, points: Tensor) -> Tensor:
        """Enlarged points."""
        from torch.nn.functional import interpolate

        size = (self.height, self.width)
        return interpolate(points, size=size, mode="bicubic", align_corners=False)


@dataclass(frozen=True)
class DctSpace(SquareSpace):
    """The lowest frequencies, down and across, of the discrete cosine transform (DCT-II)."""

    family = "dct"
    summary = "the k x k lowest frequencies of the discrete cosine transform"

    @cached_property
    def _waves(self) -> tuple[Tensor, Tensor]:
        """Cosines down ``(H, side)``, orthonormal, and across ``(side, W)``, with the scale."""
        scale = math.sqrt(self.height * self.width) / self.side
        down, across = _cosines(self.side, self.height), _cosines(self.side, self.width)
        return down.T.contiguous(), scale * across

    def decode(self, points: Tensor) -> Tensor:
        """The inverse transform, times sqrt(H W) / side."""
        down, across = self._waves
        return down @ points @ across


@dataclass(frozen=True)
class PatchSpace(SquareSpace):
    """One tile of pixels, repeated from the upper left corner.

    With the encoder's own patch size, a vision transformer adds the same vector to all its tokens.
    """

    family = "patch"
    letter = "p"
    summary = "one tile of p x p pixels, repeated over the image"

    def decode(self, points: Tensor) -> Tensor:
        """The tile, repeated and cut to size."""
        down, across = -(-self.height // self.side), -(-self.width // self.side)
        return points.repeat(1, 1, down, across)[..., : self.height, : self.width]


@dataclass(frozen=True)
class BoxedSpace:
    """A space whose edits are clipped to ``-limit..limit``; clipped pixels have gradient 0."""

    inner: Space
    limit: float

    @property
    def name(self) -> str:
        """The inner space's."""
        return self.inner.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The inner space's."""
        return self.inner.shape

    def decode(self, points: Tensor) -> Tensor:
        """Edits within the box."""
        return self.inner.decode(points).clamp(-self.limit, self.limit)


FAMILIES: dict[str, type[SquareSpace]] = {
    space.family: space for space in (LowresSpace, DctSpace, PatchSpace)
}
"""Spaces that take a number after a colon: the side of a point."""

SUMMARIES = {
    "pixel": PixelSpace.summary,
    **{f"{name}:<{family.letter}>": family.summary for name, family in FAMILIES.items()},
}
"""One line for ``zobench list`` on each space, by the name as typed."""


def make_space(name: str, image_shape: tuple[int, int, int], box: float = 0.0) -> Space:
    """The space called ``name`` for edits of images of the given shape.

    Args:
        name: ``pixel``, ``lowres:<k>``, ``dct:<k>`` or ``patch:<p>``.
        image_shape: The shape ``(C, H, W)`` of the images.
        box: Largest absolute value of an edit; 0 for none.

    Raises:
        ConfigError: There is no such space, or its number does not fit the images.
    """
    _, height, width = image_shape
    check_space_name(name)
    space = _named(name, height, width)
    return BoxedSpace(space, box) if box > 0 else space


def check_space_name(name: str) -> None:
    """Checks the family of a space before the size of the images is known.

    Raises:
        ConfigError: There is no such family of spaces.
    """
    family = name.partition(":")[0]
    if name != "pixel" and family not in FAMILIES:
        names = list(SUMMARIES)
        raise ConfigError(
            f"space is {cut(name)}, but must be one of {', '.join(names)}"
            f"{nearest(family, ['pixel', *FAMILIES])}"
        )


def _named(name: str, height: int, width: int) -> Space:
    family, _, number = name.partition(":")
    if name == "pixel":
        return PixelSpace(height, width)
    limit = min(height, width)
    if not re.fullmatch(r"[0-9]{1,6}", number) or not 1 <= int(number) <= limit:
        raise ConfigError(
            f"space is {cut(name)}, but {family} takes a whole number from 1 to {limit} after the "
            f"colon, such as {family}:{min(28, limit)}"
        )
    return FAMILIES[family](height, width, int(number))


def _cosines(count: int, length: int) -> Tensor:
    """The first ``count`` rows of the orthonormal DCT-II matrix, ``(count, length)`` float32."""
    import torch

    place = torch.arange(length, dtype=torch.float64) + 0.5
    frequency = torch.arange(count, dtype=torch.float64)[:, None]
    waves = torch.cos(math.pi / length * frequency * place) * math.sqrt(2.0 / length)
    waves[0] /= math.sqrt(2.0)
    return waves.float()
