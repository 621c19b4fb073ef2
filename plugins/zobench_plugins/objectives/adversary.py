"""Minus the cross-entropy of an SA head that is refitted on embeddings that were bought already.

The adversary of adversarial debiasing (Zhang, Lemoine, Mitchell, "Mitigating Unwanted Biases with
Adversarial Learning", AIES 2018), as a linear head. It starts as g. After every ``every`` asks it
is fitted anew, with equal weight for each cell of (disease, SA), on the last ``memory`` embeddings,
which cost no further query. An edit that only shifts all embeddings gains nothing for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from zobench.contracts.objective import ObjectiveContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.problem.heads import Head, fit_sensitive_head

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AdversaryParameters:
    """How often the adversary is refitted, and on what."""

    every: int = parameter(5, "asks between two fits", low=1, high=1_000_000)
    memory: int = parameter(1024, "embeddings that it is fitted on, at most", low=8, high=100_000)


class Adversary(Stateful):
    """``-mean CE(a, h(embedding))`` with the head h of the last fit."""

    mean_over_images: ClassVar[bool] = True
    remembered = ("weight", "bias", "asks", "embeddings", "sensitive", "label")

    def __init__(self, context: ObjectiveContext, parameters: AdversaryParameters) -> None:
        self._p, self._rng = parameters, context.rng
        self.weight = torch.tensor(context.head.weight, dtype=torch.float64)
        self.bias = torch.tensor(context.head.bias, dtype=torch.float64)
        self.asks = 0
        self.embeddings = torch.empty((0, context.clean.shape[1]), dtype=torch.float32)
        self.sensitive = torch.empty(0, dtype=torch.int64)
        self.label = torch.empty(0, dtype=torch.int64)

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        """Values ``(K,)`` of embeddings ``(K, b, D)`` and labels ``(K, b)``."""
        head = Head(self.weight.numpy(), self.bias.numpy())
        return -head.cross_entropy(embeddings, sensitive).mean(-1)

    def observe(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> None:
        """Keeps the last embeddings, and fits the head anew when it is due."""
        most = self._p.memory
        self.embeddings = torch.cat([self.embeddings, embeddings.flatten(0, 1)])[-most:].clone()
        self.sensitive = torch.cat([self.sensitive, sensitive.flatten()])[-most:].clone()
        self.label = torch.cat([self.label, label.flatten()])[-most:].clone()
        self.asks += 1
        if self.asks % self._p.every == 0 and 0 < int(self.sensitive.sum()) < len(self.sensitive):
            head = fit_sensitive_head(
                self.embeddings.numpy(),
                self.sensitive.numpy(),
                self.label.numpy(),
                protocol="converged",
                rng=self._rng,
            )
            self.weight, self.bias = torch.from_numpy(head.weight), torch.from_numpy(head.bias)
