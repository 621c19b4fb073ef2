"""The optimizer inside a wrapper: it is held to its own level of feedback, as it would be alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zobench.contracts.handover import AskRules, checked_ask, taken_point, taken_state
from zobench.contracts.optimizer import Answer, Ask, AskTell, Feedback, OptimizerContext, State

if TYPE_CHECKING:
    from torch import Tensor


class Wrapped:
    """Checks what the optimizer asks and recommends, and tells it no more than its level includes."""

    def __init__(
        self, optimizer: AskTell, context: OptimizerContext, name: str, level: Feedback
    ) -> None:
        """Takes the optimizer and what it was made from.

        Args:
            optimizer: The optimizer before its first ask.
            context: The context that it was made with.
            name: Its name, for messages.
            level: Its level of feedback.
        """
        self._optimizer, self._name, self._shape = optimizer, name, context.space.shape
        # the number of training images is the oracle's to check
        self._rules = AskRules(name, self._shape, level, context.batch_size, 2**63)

    def ask(self) -> Ask:
        """Its next batch.

        Raises:
            PluginError: The ask breaks the contract, or wants more than the level includes.
        """
        return checked_ask(self._optimizer.ask(), self._rules)

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Passes on what its level includes."""
        if self._rules.level == "value":
            answer = Answer(answer.values)
        self._optimizer.tell(ask, answer)

    def recommend(self) -> Tensor:
        """A copy of the point that it recommends.

        Raises:
            PluginError: It is no finite float32 tensor of the space's shape.
        """
        return taken_point(self._optimizer.recommend(), self._name, self._shape)

    def state_dict(self) -> State:
        """A copy of its state, which a wrapper may keep while the optimizer goes on.

        Raises:
            PluginError: The state holds something that cannot be stored.
        """
        return taken_state(self._optimizer.state_dict(), self._name)

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        self._optimizer.load_state_dict(state)
