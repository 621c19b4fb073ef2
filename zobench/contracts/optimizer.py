"""The contract of an optimizer: it asks, the oracle answers, it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zobench.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

    from .space import Space

Feedback = Literal["value", "embeddings", "gradient"]
FEEDBACK: tuple[Feedback, ...] = ("value", "embeddings", "gradient")
"""Levels of feedback, each telling more than the one before."""

State = Mapping[str, "Tensor | int | float | str"]


@dataclass(frozen=True)
class Ask:
    """A batch of points to evaluate.

    Attributes:
        points: ``(K, *space.shape)`` float32.
        minibatch: ``(K,)`` non-negative integers. Equal numbers mean the same images, in this ask
            and in any other: common random numbers. A number not used before is a fresh draw.
        want: The feedback asked for, at most the level that the optimizer declares.
    """

    points: Tensor
    minibatch: NDArray[np.int64]
    want: Feedback = "value"


def require_ask(found: object) -> Ask:
    """The return value of an optimizer's ``ask``, if it is an :class:`Ask`.

    Raises:
        PluginError: It is something else.
    """
    if not isinstance(found, Ask):
        raise PluginError(
            f"the optimizer's ask() returned {type(found).__name__}; it must return "
            "zobench.contracts.optimizer.Ask(points, minibatch numbers)"
        )
    return found


@dataclass(frozen=True)
class Answer:
    """The oracle's answer to an ask.

    Attributes:
        values: ``(K,)`` float64, L of each point on its minibatch.
        embeddings: ``(K, B, D)`` float32 where asked for, else ``None``.
        gradients: ``(K, *space.shape)`` float32, dL/dpoint where asked for, else ``None``.
    """

    values: Tensor
    embeddings: Tensor | None = None
    gradients: Tensor | None = None


@dataclass(frozen=True)
class OptimizerContext:
    """Everything that an optimizer is given; nothing of it leads to encoder, images or labels.

    Attributes:
        space: Where points live.
        rng: The optimizer's own stream of random numbers.
        budget: Queries that may be spent, in images.
        batch_size: Images a minibatch, so ``batch_size`` queries an evaluation.
        argument: The text after the colon of the name as typed, or ``""``.
    """

    space: Space
    rng: np.random.Generator
    budget: int
    batch_size: int
    argument: str = ""


class Optimizer(Protocol):
    """A black-box (or white-box) optimizer of L over a space.

    It is made as ``TheClass(context, parameters)`` where ``parameters`` is an instance of the frozen
    dataclass that the argument is annotated with (see :mod:`zobench.contracts.parameters`).
    """

    feedback: ClassVar[Feedback]

    def ask(self) -> Ask:
        """The next batch; the oracle may refuse it for lack of budget, and the run ends."""
        ...

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Takes in the answer to the last ask."""
        ...

    def recommend(self) -> Tensor:
        """The point ``space.shape`` to deploy if the run ended now.

        Values are noisy, so the lowest one seen is a biased choice; each optimizer knows better.
        """
        ...

    def state_dict(self) -> State:
        """Everything that decides the future, random state included."""
        ...

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        ...
