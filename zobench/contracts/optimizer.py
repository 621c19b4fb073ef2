"""The contract of an optimizer, which makes asks and is told the oracle's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from .space import Space

Feedback = Literal["value", "embeddings", "gradient"]
FEEDBACK: tuple[Feedback, ...] = ("value", "embeddings", "gradient")
"""The levels of feedback; each level contains more information than the previous level."""

State = Mapping[str, "Tensor | int | float | str"]


@dataclass(frozen=True)
class Ask:
    """A batch of points to evaluate.

    Attributes:
        points: The points ``(K, *space.shape)`` float32.
        minibatch: Numbers ``(K,)``, at least 0. Equal numbers mean the same images, in this ask
            and in any other (common random numbers). A new number draws a new minibatch.
        want: The feedback asked for, at most the level that the optimizer declares.
    """

    points: Tensor
    minibatch: NDArray[np.int64]
    want: Feedback = "value"


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
    """The inputs of an optimizer; they give no access to encoder, images or labels.

    Attributes:
        space: The search space of the points.
        rng: The optimizer's own stream of random numbers.
        budget: Queries that may be spent, in images.
        batch_size: Images per minibatch; one evaluation costs ``batch_size`` queries.
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
        """The next batch; if it would pass the budget, the oracle refuses it and the run ends."""
        ...

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Takes in the answer to the last ask."""
        ...

    def recommend(self) -> Tensor:
        """The point ``space.shape`` to deploy if the run ended now.

        Values are noisy, so the point with the best value seen so far is a biased choice.
        """
        ...

    def state_dict(self) -> State:
        """The state that decides all later asks, including the state of random generators."""
        ...

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        ...
