"""The oracle: it evaluates an optimizer's asks within the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from zobench.contracts.dataset import Rows
from zobench.contracts.handover import AskRules, checked_ask, taken_ask
from zobench.contracts.optimizer import Answer, Ask, Feedback
from zobench.contracts.space import Space
from zobench.errors import BudgetExhausted, ConfigError, EncoderError

from .evaluator import Evaluator
from .ledger import Ledger

if TYPE_CHECKING:
    from torch import Tensor


class Recorder(Protocol):
    """Keeps the answers of an oracle."""

    def give(self, ask: Ask, spent: int, evaluate: Callable[[Ask], Answer]) -> Answer:
        """Evaluates an ask that is made after ``spent`` queries, and keeps the answer."""
        ...


def require_a_value(
    ask: Ask, batch_size: int, optimizer: str, name: str, objective: object
) -> None:
    """Refuses points of so few images that an objective that compares them has no value.

    Args:
        ask: The ask; one that wants embeddings only, or products with cotangents, needs no value.
        batch_size: Images per minibatch where the ask names no other number.
        optimizer: The optimizer's name, for the message.
        name: The objective's name.
        objective: The objective, or its class.

    Raises:
        ConfigError: It compares more images than a point has.
    """
    images, least = ask.images_each(batch_size), getattr(objective, "least_images", 1)
    for_its_value = ask.want != "embeddings" and ask.cotangents is None
    if for_its_value and images < least:
        raise ConfigError(
            f"objective {name} compares images of a point with one another, so it needs {least} at "
            f"least, but {optimizer} asks for {images} a point; choose an objective that is a mean over "
            "images, as dne is, another optimizer, or a larger --batch-size where the optimizer asks "
            "for minibatches"
        )


@dataclass(frozen=True)
class Oracle:
    """Answers asks within a budget; the metered encoder of its evaluator books every image.

    Attributes:
        evaluator: Evaluates L.
        space: The space of the optimizer's points.
        budget: The largest number of queries that may be booked as ``optimize``.
        feedback: The feedback level that the optimizer declared; higher levels are refused.
        recorder: Keeps answers; ``None`` to keep none.
        optimizer: The optimizer's name, for messages.
    """

    evaluator: Evaluator
    space: Space
    budget: int
    feedback: Feedback
    recorder: Recorder | None = None
    optimizer: str = "?"

    @property
    def ledger(self) -> Ledger:
        """The ledger of the evaluator's encoder."""
        return self.evaluator.encoder.ledger

    def query(self, ask: object, meanwhile: Callable[[], None] | None = None) -> Answer:
        """Evaluates an ask.

        Args:
            ask: What the optimizer's ``ask`` returned; it is checked first.
            meanwhile: Work that needs no answer; done once no point is read any more, while a GPU
                computes the last embeddings. It is not called for gradients.

        Raises:
            BudgetExhausted: The ask would pass the budget; nothing was evaluated or charged.
            PluginError: The ask breaks the contract.
            ConfigError: The objective has no value for as few images as a point of the ask has.
            EncoderError: The encoder failed, gave an invalid answer, or has no gradients.
        """
        evaluator = self.evaluator
        size, spec = evaluator.batch_size, evaluator.encoder.spec
        images, dimension = len(evaluator.images), spec.embedding_dim
        rules = AskRules(self.optimizer, self.space.shape, self.feedback, size, images, dimension)
        checked = checked_ask(ask, rules)
        require_a_value(checked, size, self.optimizer, evaluator.name, evaluator.objective)
        if checked.want == "gradient" and not spec.differentiable:
            raise EncoderError(f"encoder {spec.name} gives no gradients")
        price, spent = checked.price(size, self.ledger.backward_cost), self.ledger.optimize.queries
        if spent + price > self.budget:
            raise BudgetExhausted(
                f"{spent} of {self.budget} queries are spent; the next batch costs {price}"
            )
        taken = taken_ask(checked, self.optimizer)
        self._require_money(len(taken.points) * taken.images_each(size))
        self.ledger.optimize.evaluations += len(taken.points)
        evaluate = partial(self._evaluate, meanwhile=meanwhile)
        return (
            evaluate(taken) if self.recorder is None else self.recorder.give(taken, spent, evaluate)
        )

    def _require_money(self, images: int) -> None:
        meter = self.evaluator.encoder.meter
        if meter is not None and not meter.affords(images, keeping_reserve=True):
            raise BudgetExhausted(
                f"{images} more images could cost more than max_cost {meter.limit:g} leaves when "
                f"{meter.reserve:,} are kept for scoring",
                limit="max_cost",
            )

    def _evaluate(self, ask: Ask, meanwhile: Callable[[], None] | None) -> Answer:
        rows = self._rows(ask)
        values, embeddings, gradients = (
            self._with_gradients(ask, rows)
            if ask.want == "gradient"
            else (*self._without(ask, rows, meanwhile), None)
        )
        if embeddings is not None:
            self.evaluator.observe(embeddings, rows)
        if self.feedback == "value":
            return Answer(values)
        return Answer(values, embeddings, gradients, rows.copy())

    def _rows(self, ask: Ask) -> Rows:
        """Rows ``(K, b)`` of the images of each point."""
        if ask.rows is not None:
            return ask.rows
        assert ask.minibatch is not None
        numbers, place = np.unique(ask.minibatch, return_inverse=True)
        drawn = [self.evaluator.rows(int(number), ask.images) for number in numbers]
        return np.stack(drawn)[place]

    def _without(
        self, ask: Ask, rows: Rows, meanwhile: Callable[[], None] | None
    ) -> tuple[Tensor, Tensor | None]:
        import torch

        keep = self.feedback != "value" or self.evaluator.learning is not None
        with torch.inference_mode():
            values, embeddings = self.evaluator.values(
                ask.points, rows, self.space.decode, keep_embeddings=keep, meanwhile=meanwhile
            )
        return values.clone(), None if embeddings is None else embeddings.clone()

    def _with_gradients(self, ask: Ask, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        values, embeddings, gradients = [], [], []
        cotangents = ask.cotangents if ask.cotangents is not None else [None] * len(rows)
        for point, its_rows, its_cotangents in zip(ask.points, rows, cotangents, strict=True):
            variable = point.detach().clone().requires_grad_()
            with torch.enable_grad():
                edit = self.space.decode(variable[None])[0]
            value, embedded, slope = self.evaluator.value_and_gradient(
                edit.detach(), its_rows, its_cotangents
            )
            (gradient,) = torch.autograd.grad(edit, variable, slope)
            values.append(value)
            embeddings.append(embedded)
            gradients.append(gradient)
        stacked = torch.stack(gradients)
        if not bool(torch.isfinite(stacked).all()):
            raise EncoderError("a gradient is NaN or infinite although the embeddings are finite")
        return torch.stack(values), torch.stack(embeddings), stacked
