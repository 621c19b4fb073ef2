"""Best-of: runs another optimizer and recommends the best of the edits that were checked on the way.

The lowest value of L is not the fairest edit: once a head reads no attribute, L falls only by damage to
the embeddings, so descent of L, white-box or not, passes its most useful edit. From time to time, at
first evenly and then at growing distances, the edit that the optimizer inside recommends is sent with a
few balanced images, always the same. A disease head refitted on their embeddings tells the harm that is
left (:mod:`.paid_checks`), and the edit with the least is recommended. It is early stopping on held-out
loss (Prechelt, "Early Stopping - But When?", 1998), with the loss replaced by what the edit is for. No
edit at all is among the choices, at no query.

The checks are paid from the run's budget. The optimizer inside is told the budget that the checks
leave it at least; apart from that it does what it would do alone, unless the objective learns from the
embeddings that are bought, which those of the checks are part of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext, State
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful, below, prefixed
from zobench.errors import ConfigError, PluginError
from zobench.registry.plugin import INNER

from .paid_checks import CELLS, Cells, harm


@dataclass(frozen=True)
class BestOfParameters:
    """When edits are checked, and on how many images."""

    check_images: int = parameter(
        96,
        "images of a check: a quarter from each cell, or all of a smaller one",
        low=8,
        high=10_000,
    )
    share: float = parameter(
        0.25, "largest share of the queries for checks, but for the last one", low=0.001, high=0.9
    )
    growth: float = parameter(
        0.25, "least queries between two checks, relative to those of the optimizer so far", low=0
    )


class BestOf(Stateful):
    """Asks what the optimizer inside asks, with checks between. Recommends the best edit checked.

    Before the first check it recommends what the optimizer inside does.
    """

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = ("best", "least", "checks", "spent", "since", "rows")

    def __init__(self, context: OptimizerContext, parameters: BestOfParameters) -> None:
        if context.client is None or context.inner is None:
            raise PluginError("best-of needs client data and the optimizer that its name ends with")
        self._p, self._context, self._clean = parameters, context, context.client.clean
        self._cells = Cells.of(context.client)
        for (y, a), members in zip(CELLS, self._cells.members, strict=True):
            if not len(members):
                raise ConfigError(
                    f"best-of compares error rates of the groups, but no training image has label {y} "
                    f"and attribute {a}; use a larger split.train"
                )
        self._check = self._cells.balanced_count(parameters.check_images)
        least_budget = math.ceil(self._check / parameters.share)
        if context.budget < least_budget:
            raise ConfigError(
                f"budget is {context.budget}, but must be at least {least_budget} for best-of: a check "
                f"costs {self._check} queries (check_images), and checks get a share of "
                f"{parameters.share:g} (share)"
            )
        left = context.budget - self._most_checks() * self._check
        self._inner = context.inner(replace(context, budget=left))
        # the optimizer inside spawns its streams first, so that it draws what it would draw alone
        (rng,) = context.rng.spawn(1)
        self.rows = torch.from_numpy(self._cells.balanced(parameters.check_images, rng))
        self._pending: Ask | None = None
        self._before: State = {}  # of the optimizer inside, before its ask that waits
        self.best, self.least = torch.zeros(context.space.shape), self._harm(self._clean[self.rows])
        self.checks = self.spent = self.since = 0

    def ask(self) -> Ask:
        """A check of the edit that the optimizer inside recommends, or what this optimizer asks."""
        if self._pending is None:
            self._before = self._inner.state_dict()
            self._pending = self._inner.ask()
            self._require_a_check(self._price(self._pending))
        if self._check_is_due(self._price(self._pending)):
            point = self._inner.recommend()[None]
            return Ask(point, rows=self.rows.numpy()[None].copy(), want="embeddings")
        return self._pending

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Compares the edit that was checked with the best one, or passes the answer on."""
        assert self._pending is not None
        price = self._price(ask)
        if self._check_is_due(self._price(self._pending)):
            assert answer.embeddings is not None
            self.checks += 1
            self.since = 0
            if (left := self._harm(answer.embeddings[0])) < self.least:
                self.best, self.least = ask.points[0].clone(), left
        else:
            self._inner.tell(ask, answer)
            self._pending = None
            self.since += price
        self.spent += price

    def recommend(self) -> Tensor:
        """The edit with the least harm among those checked and no edit."""
        return self.best.clone() if self.checks else self._inner.recommend()

    def state_dict(self) -> State:
        """Its own state, and that of the optimizer inside before its ask that waits for an answer."""
        inner = self._inner.state_dict() if self._pending is None else self._before
        return {**super().state_dict(), **prefixed(INNER, inner)}

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        super().load_state_dict(state)
        self._inner.load_state_dict(below(INNER, state))
        self._pending = None

    def _price(self, ask: Ask) -> int:
        return ask.price(self._context.batch_size, self._context.backward_cost)

    def _check_is_due(self, price: int) -> bool:
        """Whether enough queries were spent since the last check, or only a check is left to pay.

        Args:
            price: Queries of the next ask of the optimizer inside.
        """
        check, left = self._check, self._context.budget - self.spent
        if not self.since or left < check:
            return False
        before = self.spent - self.checks * check - self.since
        return self.since >= self._wait(before) or left < price + check

    def _wait(self, before: int) -> float:
        """Queries of the optimizer inside from one check to the next.

        Args:
            before: Its queries before the last check.
        """
        return max(self._check * (1.0 / self._p.share - 1.0), self._p.growth * before)

    def _most_checks(self) -> int:
        """Checks within the budget, at most."""
        check, budget = self._check, self._context.budget
        count, inside = 0, 0.0
        while inside + self._wait(math.floor(inside)) + (count + 1) * check <= budget:
            inside += self._wait(math.floor(inside))
            count += 1
        return count + (inside + (count + 1) * check < budget)

    def _require_a_check(self, price: int) -> None:
        """Refuses a first ask that leaves too little for a single check."""
        needed = price + self._check
        if not self.spent and needed > self._context.budget:
            raise ConfigError(
                f"budget is {self._context.budget}, but must be at least {needed} for best-of: the "
                f"first batch of the optimizer inside costs {price} queries, a check {self._check}"
            )

    def _harm(self, embeddings: Tensor) -> float:
        rows = self.rows.numpy()
        clean, edited = (
            self._cells.rates(embedded, rows) for embedded in (self._clean[rows], embeddings)
        )
        assert clean is not None
        assert edited is not None
        return harm(edited, clean)
