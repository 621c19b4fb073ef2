"""The oracle: it evaluates an optimizer's asks within the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zobench.contracts.handover import taken_ask
from zobench.contracts.optimizer import Answer, Ask, Feedback
from zobench.contracts.space import Space
from zobench.errors import BudgetExhausted, EncoderError

from .ledger import Ledger
from .objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


class Recorder(Protocol):
    """Keeps the answers of an oracle."""

    def give(self, ask: Ask, evaluate: Callable[[Ask], Answer]) -> Answer:
        """Evaluates an ask and keeps the answer."""
        ...


@dataclass(frozen=True)
class Oracle:
    """Answers asks within a budget; the metered encoder of its objective books every image.

    Attributes:
        objective: The function that is evaluated.
        space: The space of the optimizer's points.
        budget: The largest number of queries that may be booked as ``optimize``.
        feedback: The feedback level that the optimizer declared; higher levels are refused.
        recorder: Keeps answers; ``None`` to keep none.
        optimizer: The optimizer's name, for messages.
    """

    objective: Objective
    space: Space
    budget: int
    feedback: Feedback
    recorder: Recorder | None = None
    optimizer: str = "?"

    @property
    def ledger(self) -> Ledger:
        """The ledger of the objective's encoder."""
        return self.objective.encoder.ledger

    def price(self, ask: Ask) -> int:
        """Queries that an ask costs."""
        images = len(ask.points) * self.objective.batch_size
        return self.ledger.price(images, gradient=ask.want == "gradient")

    def query(self, ask: object) -> Answer:
        """Evaluates an ask.

        Args:
            ask: What the optimizer's ``ask`` returned; it is checked and copied first.

        Raises:
            BudgetExhausted: The ask would pass the budget; nothing was evaluated or charged.
            PluginError: The ask breaks the contract.
            EncoderError: The encoder failed, gave an invalid answer, or has no gradients.
        """
        taken = taken_ask(ask, self.optimizer, self.space.shape, self.feedback)
        encoder = self.objective.encoder
        if taken.want == "gradient" and not encoder.spec.differentiable:
            raise EncoderError(f"encoder {encoder.spec.name} gives no gradients")
        price, spent = self.price(taken), self.ledger.optimize.queries
        if spent + price > self.budget:
            raise BudgetExhausted(
                f"{spent} of {self.budget} queries are spent; the next batch costs {price}"
            )
        self._require_money(len(taken.points) * self.objective.batch_size)
        self.ledger.optimize.evaluations += len(taken.points)
        if self.recorder is None:
            return self._evaluate(taken)
        return self.recorder.give(taken, self._evaluate)

    def _require_money(self, images: int) -> None:
        meter = self.objective.encoder.meter
        if meter is not None and not meter.affords(images, keeping_reserve=True):
            raise BudgetExhausted(
                f"{images} more images could cost more than max_cost {meter.limit:g} leaves when "
                f"{meter.reserve:,} are kept for scoring",
                limit="max_cost",
            )

    def _evaluate(self, ask: Ask) -> Answer:
        return self._with_gradients(ask) if ask.want == "gradient" else self._without(ask)

    def _without(self, ask: Ask) -> Answer:
        import torch

        with torch.inference_mode():
            edits = self.space.decode(ask.points)
            values, embeddings = self.objective.values(
                edits, ask.minibatch, keep_embeddings=ask.want == "embeddings"
            )
        _require_finite(values)
        return Answer(values.clone(), None if embeddings is None else embeddings.clone())

    def _with_gradients(self, ask: Ask) -> Answer:
        import torch

        values, embeddings, gradients = [], [], []
        for point, minibatch in zip(ask.points, ask.minibatch.tolist(), strict=True):
            variable = point.detach().clone().requires_grad_()
            with torch.enable_grad():
                edit = self.space.decode(variable[None])[0]
            value, embedded, slope = self.objective.value_and_gradient(edit.detach(), minibatch)
            (gradient,) = torch.autograd.grad(edit, variable, slope)
            values.append(value)
            embeddings.append(embedded)
            gradients.append(gradient)
        stacked = torch.stack(values)
        _require_finite(stacked)
        _require_finite(torch.stack(gradients), "a gradient")
        return Answer(stacked, torch.stack(embeddings), torch.stack(gradients))


def _require_finite(values: Tensor, what: str = "a value of the objective") -> None:
    import torch

    if not bool(torch.isfinite(values).all()):
        raise EncoderError(f"{what} is NaN or infinite although the embeddings are finite")
