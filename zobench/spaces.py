"""Search spaces: where an optimizer's points live, and how they become an edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Space(Protocol):
    """A set of points and its map to edits."""

    @property
    def name(self) -> str:
        """As typed by the user, e.g. ``pixel``."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        ...

    def decode(self, points: Tensor) -> Tensor:
        """Edits ``(K, 1, H, W)`` of points ``(K, *shape)``; differentiable."""
        ...


@dataclass(frozen=True)
class PixelSpace:
    """Every pixel of the edit is a coordinate of its own, as in the paper."""

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


def make_space(name: str, image_shape: tuple[int, int, int]) -> Space:
    """The space called ``name`` for edits of images of the given shape.

    Raises:
        ConfigError: There is no such space.
    """
    if name != "pixel":
        raise ConfigError(f"space is {name!r}, but the only space is 'pixel'")
    return PixelSpace(height=image_shape[1], width=image_shape[2])
