"""The contract of a search space: the points of an optimizer and their map to edits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Space(Protocol):
    """A set of points and the map from points to edits."""

    @property
    def name(self) -> str:
        """The name as typed by the user, e.g. ``lowres:28``."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one point."""
        ...

    def decode(self, points: Tensor) -> Tensor:
        """Edits ``(K, 1, H, W)`` float32 of points ``(K, *shape)`` float32; differentiable."""
        ...
