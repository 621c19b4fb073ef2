"""The contract of an objective: the function of embeddings that an optimizer lowers.

The oracle adds ``penalty * ||edit||_2`` to every value, so that ``--penalty`` means the same for all
objectives. An objective changes neither the price of a query nor the scores of an edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from .head import LinearHead
from .optimizer import State

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class ObjectiveContext:
    """The inputs of an objective: N clean training images, embeddings of D numbers.

    Attributes:
        head: The SA head g, fitted on the clean embeddings.
        clean: The clean embeddings ``(N, D)`` float32.
        sensitive: The sensitive attribute a, ``(N,)`` int64 of 0 and 1.
        label: The disease label y, ``(N,)`` int64 of 0 and 1.
        rng: The objective's own stream of random numbers.
        argument: The text after the colon of the name as typed, or ``""``.
    """

    head: LinearHead
    clean: Tensor
    sensitive: Tensor
    label: Tensor
    rng: np.random.Generator
    argument: str = ""


class Objective(Protocol):
    """A function of embeddings and labels; lower means that the embeddings hide more of a.

    It is made as ``TheClass(context, parameters)``, see :class:`ObjectiveContext`.

    Attributes:
        mean_over_images: Whether a value is the mean of one number per image. The gradient of a
            minibatch larger than the encoder's block then takes one pass instead of two.
    """

    mean_over_images: ClassVar[bool]

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        """One value per point; gradients flow to the embeddings.

        Args:
            embeddings: ``(K, b, D)`` float32, b images of each of K points, on any device.
            sensitive: a, ``(K, b)`` int64, on the same device.
            label: y, ``(K, b)`` int64, on the same device.

        Returns:
            ``(K,)`` float64, finite.
        """
        ...


@runtime_checkable
class ComparingObjective(Objective, Protocol):
    """An objective that compares images with one another, so that few images have no value.

    Attributes:
        least_images: Images of a point that its value needs, at least.
    """

    least_images: ClassVar[int]


@runtime_checkable
class LearningObjective(Objective, Protocol):
    """An objective that learns from embeddings that were bought already; its state is saved."""

    def observe(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> None:
        """Takes in the embeddings of an ask, shaped as for ``values``, on the CPU.

        The oracle calls it after the ask is answered. The values of one ask thus come from one
        state.
        """
        ...

    def state_dict(self) -> State:
        """The state that decides all later values, with a bounded size."""
        ...

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        ...
