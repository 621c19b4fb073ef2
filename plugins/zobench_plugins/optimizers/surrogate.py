"""Surrogate: an edit from another encoder's gradients, checked by queries; probes where it fails.

The client of an embedding API may run any open encoder on its own images, at no query. A linear map from
its embeddings to the API's, fitted on the clean images, makes it a surrogate of the API, whose gradients
it has. The edit takes steps that raise the squared error of an SA head, which is refitted on the mapped
embeddings of the last steps. That gradients transfer between networks was shown by Papernot et al.,
"Practical Black-Box Attacks against Machine Learning" (2017); gradients of a surrogate beside queries
were used by Cheng et al., "Improving Black-box Adversarial Attacks with a Transfer-based Prior"
(NeurIPS 2019).

Then a few balanced images are sent with the edit and with its negative. If the gap of a refitted disease
head falls by enough, pairs of probes go on from the better one of the two (:mod:`.probes`). Otherwise
the search begins anew with probes, as if there were no surrogate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError, PluginError
from zobench.problem.images import slices
from zobench.problem.spaces import DctSpace

from .embedding_map import EmbeddingMap
from .paid_checks import Cells
from .probes import Probes, ProbesParameters
from .refitted_heads import residuals

CHUNK = 16
"""Images whose gradients are computed at once; a network keeps much memory for each."""

BLOCK = 256
"""Images that are embedded without gradients at once."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SurrogateParameters:
    """Hyperparameters of surrogate; a root mean square is that of the points, in pixel range."""

    side: int = parameter(28, "frequencies of the edit, down and across", low=1, high=64)
    steps: int = parameter(20, "steps on the surrogate", low=1, high=10_000)
    batch: int = parameter(64, "balanced images of a step on the surrogate", low=8, high=10_000)
    window: int = parameter(4, "steps whose embeddings the SA head is refitted on", low=1, high=64)
    stride: float = parameter(
        0.004, "root mean square of the first step; step t has 1 / sqrt(t) of it", low=1e-6
    )
    length: float = parameter(0.03, "root mean square of the edit, at most", low=1e-6)
    check_images: int = parameter(96, "images of the check, each sent twice", low=8, high=10_000)
    least: float = parameter(
        0.2, "share of the gap that the edit must remove in the check to be kept", low=0.0, high=1.0
    )


class Surrogate(Stateful):
    """Steps on the surrogate, one check, then probes. Recommends the current edit."""

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = ("edit", "checked", "rng", "probes")

    def __init__(self, context: OptimizerContext, parameters: SurrogateParameters) -> None:
        if context.client is None or context.local is None:
            raise PluginError(
                "surrogate needs client data, and the encoder that its name ends with"
            )
        self._p, self._client, self._local = parameters, context.client, context.local
        self._space, self.rng = context.space, context.rng
        self._cells = Cells.of(context.client)
        check = 2 * self._cells.balanced_count(parameters.check_images)
        if context.budget <= check:
            raise ConfigError(
                f"budget is {context.budget}, but must be more than {check} for surrogate, which checks "
                f"its edit on {check // 2} images, each sent twice (check_images)"
            )
        (rng,) = context.rng.spawn(1)
        self.probes = Probes(
            replace(context, budget=context.budget - check, rng=rng), _of_the_probes(parameters)
        )
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(parameters.side, height, width))
        self.edit = torch.zeros(self._waves.side**2, dtype=torch.float64)
        self.checked = 0

    @staticmethod
    def paced(parameters: SurrogateParameters, budget: int) -> bool:
        """Whether the budget decides when the probes are checked that may have to begin anew."""
        return Probes.paced(_of_the_probes(parameters), budget - 2 * parameters.check_images)

    def ask(self) -> Ask:
        """The check of the surrogate's edit, then what the probes ask."""
        if self.checked:
            return self.probes.ask()
        self.edit = self._descended()
        rows = self._cells.balanced(self._p.check_images, self.rng)
        both = self._decoded(torch.stack([self.edit, -self.edit]))
        return Ask(both, rows=np.stack([rows, rows]), want="embeddings")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Keeps the edit, turns it round or gives it up; later passes the answer on."""
        if self.checked:
            self.probes.tell(ask, answer)
            return
        assert answer.embeddings is not None
        assert answer.rows is not None
        self.checked, rows = 1, answer.rows[0]
        found = self._cells.better_sign(self._client.clean[rows], answer.embeddings, rows)
        if found is None:
            return  # a cell of disease and attribute has no training image
        self.edit = found.sign * self.edit
        if found.harm <= (1.0 - self._p.least) * found.without:
            self.probes.begin_at(self.edit)

    def recommend(self) -> Tensor:
        """The surrogate's edit before the check; no edit before the first ask."""
        if self.checked:
            return self.probes.recommend()
        return self._decoded(self.edit[None])[0]

    def _descended(self) -> Tensor:
        """The coefficients of the edit after all steps on the surrogate, at no query."""
        everything = np.arange(len(self._client))
        clean = torch.cat(
            [
                self._local(self._client.pixels(everything[part]))
                for part in slices(len(everything), BLOCK)
            ]
        )
        mapped = EmbeddingMap.fitted(clean, self._client.clean)
        edit = torch.zeros_like(self.edit)
        seen: list[tuple[Tensor, Rows]] = []
        for step in range(1, self._p.steps + 1):
            rows = self._cells.balanced(self._p.batch, self.rng)
            seen = [*seen, (mapped(self._embedded(edit, rows)), rows)][-self._p.window :]
            head, weights = self._refitted(seen)
            # the head's own change adds nothing to the slope at its optimum
            slope = torch.zeros_like(edit)
            weights = weights[-len(rows) :]
            for part in slices(len(rows), CHUNK):
                variable = edit.clone().requires_grad_()
                scores = mapped(self._embedded(variable, rows[part])) @ head
                (gradient,) = torch.autograd.grad((weights[part] * scores).sum(), variable)
                slope += gradient
            if (size := float(slope.norm())) > 0:
                edit = edit - self._p.stride * self._waves.side / math.sqrt(step) * slope / size
                limit = self._p.length * self._waves.side
                edit = edit * min(1.0, limit / max(float(edit.norm()), 1e-300))
        return edit

    def _embedded(self, edit: Tensor, rows: Rows) -> Tensor:
        """Embeddings of images with an edit by the local encoder."""
        added = self._space.decode(self._decoded(edit[None]))
        return self._local(self._client.pixels(rows) + added)

    def _refitted(self, seen: list[tuple[Tensor, Rows]]) -> tuple[Tensor, Tensor]:
        """An SA head on mapped embeddings, and its weighted residuals."""
        rows = np.concatenate([drawn for _, drawn in seen])
        return residuals(torch.cat([mapped for mapped, _ in seen]), *self._cells.targets(rows))

    def _decoded(self, coefficients: Tensor) -> Tensor:
        """Points ``(K, *space.shape)`` float32 of coefficients ``(K, P)``."""
        side = self._waves.side
        return self._waves.decode(coefficients.reshape(-1, 1, side, side).float())


def _of_the_probes(p: SurrogateParameters) -> ProbesParameters:
    """Probes within the length of the edit."""
    first = min(ProbesParameters.first_length, p.length)
    return ProbesParameters(side=p.side, length=p.length, first_length=first)
