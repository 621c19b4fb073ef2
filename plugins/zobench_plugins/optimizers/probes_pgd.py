"""Probes, then PGD: signed gradient steps from the edit that an encoder reacts to most.

White-box descent from no edit pays three queries an image for what single probes tell at one: where the
encoder can be moved at all. So a few single probes and their check come first (:mod:`.probes`), and then
steps of PGD (:mod:`.pgd`) that become shorter. The images of a gradient are as many of each cell of
disease and attribute, so that disease and attribute are not confused where the training data is biased.

The gradients are those of the run's objective. That of DNE is the error of a head that stays as it
was, which damage to the embeddings lowers without end; ``adversary``, whose head is refitted on the
embeddings bought last, is the one that this search is made for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import PluginError

from .paid_checks import Cells
from .probes import Probes, ProbesParameters


@dataclass(frozen=True)
class ProbesPgdParameters:
    """Hyperparameters of probes-pgd."""

    singles: int = parameter(160, "single probes before the check", low=1, high=4096)
    check_images: int = parameter(96, "images of the check, each sent twice", low=8, high=10_000)
    images: int = parameter(96, "balanced images of a gradient", low=8, high=10_000)
    step: float = parameter(
        0.006, "first step of every coordinate, in pixel range; step t has 1 / sqrt(t) of it", low=0
    )


class ProbesPgd(Stateful):
    """Single probes, one check, then one gradient per ask. Recommends the current edit."""

    feedback: ClassVar[Feedback] = "gradient"
    remembered = ("edit", "steps", "rng", "probes")

    def __init__(self, context: OptimizerContext, parameters: ProbesPgdParameters) -> None:
        if context.client is None:
            raise PluginError("probes-pgd needs the client data of the level gradient")
        p = self._p = parameters
        self._cells, self.rng = Cells.of(context.client), context.rng
        (rng,) = context.rng.spawn(1)
        self.probes = Probes(replace(context, rng=rng), _of_the_probes(p))
        self.edit = torch.zeros(context.space.shape, dtype=torch.float32)
        self.steps = 0

    @staticmethod
    def paced(parameters: ProbesPgdParameters, budget: int) -> bool:
        """Whether the budget decides when the probes are checked."""
        return Probes.paced(_of_the_probes(parameters), budget)

    def ask(self) -> Ask:
        """What the probes ask, then the gradient at the current edit."""
        if not self._begun:
            return self.probes.ask()
        rows = self._cells.balanced(self._p.images, self.rng)
        return Ask(self.edit[None], rows=rows[None], want="gradient")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Passes the answer to the probes, or takes a signed step."""
        if not self._begun:
            self.probes.tell(ask, answer)
            if self._begun:
                self.edit = self.probes.recommend()
            return
        assert answer.gradients is not None
        self.steps += 1
        self.edit = self.edit - self._p.step / math.sqrt(self.steps) * answer.gradients[0].sign()

    def recommend(self) -> Tensor:
        """The current edit; that of the probes while they go on."""
        return self.edit if self._begun else self.probes.recommend()

    @property
    def _begun(self) -> bool:
        """Whether the probes are done: they would go on with pairs."""
        return self.probes.stage == "pairs"


def _of_the_probes(p: ProbesPgdParameters) -> ProbesParameters:
    return ProbesParameters(singles=p.singles, check_after=p.singles, check_images=p.check_images)
