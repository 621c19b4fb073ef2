"""Best-of: runs another optimizer and recommends the best of the edits that it passed.

Descent of L, white-box or not, passes its most useful edit: once a head reads no attribute, L falls
only by damage to the embeddings. From time to time, at first evenly and then at growing distances, the
edit that the optimizer inside recommends is sent with a few balanced images, always the same. A disease
head refitted on their embeddings tells the gap that is left (:mod:`.paid_checks`), and the edit with the
smallest one is recommended. It is early stopping on held-out loss (Prechelt, "Early Stopping - But
When?", 1998), with the loss replaced by what the edit is for. No edit at all is among the choices, at
no query.

The checks are paid from the run's budget. Without them the optimizer inside would do the same, because
its random numbers are its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext, State
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError, PluginError

from .paid_checks import CELLS, Cells, harm

INNER = "inner."
"""Beginning of the names that the state of the optimizer inside is kept under."""


@dataclass(frozen=True)
class BestOfParameters:
    """When edits are checked, and on how many images."""

    check_images: int = parameter(96, "images of a check", low=8, high=10_000)
    share: float = parameter(0.25, "largest share of the queries for checks", low=0.001, high=0.9)
    growth: float = parameter(
        0.25, "least queries between two checks, relative to those of the optimizer so far", low=0
    )


class BestOf(Stateful):
    """Asks what the optimizer inside asks, with checks between. Recommends the best edit checked.

    Before the first check it recommends what the optimizer inside does.
    """

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = ("best", "least", "checks", "spent", "since", "last_price", "rows")

    def __init__(self, context: OptimizerContext, parameters: BestOfParameters) -> None:
        if context.client is None or context.inner is None:
            raise PluginError("best-of needs client data and the optimizer that its name ends with")
        self._p, self._context = parameters, context
        cells = Cells.of(context.client)
        for (y, a), members in zip(CELLS, cells.members, strict=True):
            if not len(members):
                raise ConfigError(
                    f"best-of compares error rates of the groups, but no training image has label {y} "
                    f"and attribute {a}; use a larger split.train"
                )
        self._cells = cells
        # a stream of its own, so the optimizer inside draws what it would draw alone
        (rng,) = context.rng.spawn(1)
        self.rows = torch.from_numpy(cells.balanced(parameters.check_images, rng))
        least_budget = math.ceil(len(self.rows) / parameters.share)
        if context.budget < least_budget:
            raise ConfigError(
                f"budget is {context.budget}, but must be at least {least_budget} for best-of: a check "
                f"costs {len(self.rows)} queries, and optimizer.share is {parameters.share:g}"
            )
        clean = cells.rates(context.client.clean[self.rows], self.rows.numpy())
        assert clean is not None
        self._clean = clean
        self._inner = context.inner(context)
        self.best, self.least = torch.zeros(context.space.shape), clean.gap
        self.checks = self.spent = self.since = self.last_price = 0

    def ask(self) -> Ask:
        """A check of the edit that the optimizer inside recommends, or what this optimizer asks."""
        if self._check_is_due():
            point = self._inner.recommend().detach().float()[None]
            return Ask(point, rows=self.rows.numpy()[None].copy(), want="embeddings")
        return self._inner.ask()

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Compares the edit that was checked with the best one, or passes the answer on."""
        price = ask.price(self._context.batch_size, self._context.backward_cost)
        if self._check_is_due():
            self._compare(ask.points[0], answer)
            self.since = 0
        else:
            alone = Answer(answer.values) if self._inner.feedback == "value" else answer
            self._inner.tell(ask, alone)
            self.since += price
            self.last_price = price
        self.spent += price

    def recommend(self) -> Tensor:
        """The edit with the least harm among those checked and no edit."""
        return self.best.clone() if self.checks else self._inner.recommend()

    def state_dict(self) -> State:
        """Its own state, and that of the optimizer inside."""
        inner = self._inner.state_dict()
        return {**super().state_dict(), **{INNER + name: inner[name] for name in inner}}

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        super().load_state_dict(state)
        inner = {name: state[name] for name in state if name.startswith(INNER)}
        self._inner.load_state_dict({name.removeprefix(INNER): inner[name] for name in inner})

    def _check_is_due(self) -> bool:
        """Whether enough queries were spent since the last check, or the budget ends."""
        price, left = len(self.rows), self._context.budget - self.spent
        if not self.since or left < price:
            return False
        inside = self.spent - self.checks * price
        wait = max(price * (1.0 / self._p.share - 1.0), self._p.growth * (inside - self.since))
        return self.since >= wait or left < price + self.last_price

    def _compare(self, point: Tensor, answer: Answer) -> None:
        assert answer.embeddings is not None
        found = self._cells.rates(answer.embeddings[0], self.rows.numpy())
        assert found is not None
        self.checks += 1
        if (left := harm(found, self._clean)) < self.least:
            self.best, self.least = point.clone(), left
