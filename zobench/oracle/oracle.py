"""The oracle: it evaluates an optimizer's asks within the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from zobench.contracts.optimizer import FEEDBACK, Answer, Ask, Feedback
from zobench.contracts.space import Space
from zobench.errors import BudgetExhausted, EncoderError, PluginError

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
    """

    objective: Objective
    space: Space
    budget: int
    feedback: Feedback
    recorder: Recorder | None = None

    @property
    def ledger(self) -> Ledger:
        """The ledger of the objective's encoder."""
        return self.objective.encoder.ledger

    def price(self, ask: Ask) -> int:
        """Queries that an ask costs."""
        images = len(ask.points) * self.objective.batch_size
        return self.ledger.price(images, gradient=ask.want == "gradient")

    def query(self, ask: Ask) -> Answer:
        """Evaluates an ask.

        Raises:
            BudgetExhausted: The ask would pass the budget; nothing was evaluated or charged.
            PluginError: The ask breaks the contract.
            EncoderError: The encoder failed, gave an invalid answer, or has no gradients.
        """
        self._check(ask)
        price, spent = self.price(ask), self.ledger.optimize.queries
        if spent + price > self.budget:
            raise BudgetExhausted(
                f"{spent} of {self.budget} queries are spent; the next batch costs {price}"
            )
        self._require_money(len(ask.points) * self.objective.batch_size)
        self.ledger.optimize.evaluations += len(ask.points)
        if self.recorder is None:
            return self._evaluate(ask)
        return self.recorder.give(ask, self._evaluate)

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

    def _check(self, ask: Ask) -> None:
        import torch

        shape = tuple(ask.points.shape)
        if len(shape) == 0 or shape[0] < 1 or shape[1:] != self.space.shape:
            raise PluginError(
                f"the optimizer asked for points of shape {shape}; "
                f"space {self.space.name} takes (K, {', '.join(map(str, self.space.shape))}), K >= 1"
            )
        if ask.minibatch.shape != (shape[0],) or not np.issubdtype(ask.minibatch.dtype, np.integer):
            raise PluginError(
                f"the optimizer's minibatch numbers have shape {ask.minibatch.shape} and type "
                f"{ask.minibatch.dtype}; they must be {shape[0]} integers, one a point"
            )
        if int(ask.minibatch.min()) < 0:
            raise PluginError(f"minibatch numbers start at 0; {int(ask.minibatch.min())} was asked")
        if ask.want not in FEEDBACK or FEEDBACK.index(ask.want) > FEEDBACK.index(self.feedback):
            raise PluginError(
                f"the optimizer asked for feedback {ask.want!r} but declares {self.feedback!r}"
            )
        if ask.want == "gradient" and not self.objective.encoder.spec.differentiable:
            raise EncoderError(f"encoder {self.objective.encoder.spec.name} gives no gradients")
        if not bool(torch.isfinite(ask.points).all()):
            raise PluginError("the optimizer asked for a point with NaN or infinity in it")


def _require_finite(values: Tensor, what: str = "a value of the objective") -> None:
    import torch

    if not bool(torch.isfinite(values).all()):
        raise EncoderError(f"{what} is NaN or infinite although the embeddings are finite")
