"""L(edit) = -mean CE(a_i, g(phi(x_i + edit))) + lambda * ||edit||_2 (Jin et al. 2024, Eq. 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .datasets import Rows
from .embedding import MeteredEncoder
from .heads import Head
from .images import Films

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Objective:
    """The objective on minibatches of training films.

    Attributes:
        films: Where minibatches are drawn from.
        encoder: The metered encoder.
        head: The frozen SA classifier g, trained on clean embeddings.
        penalty: lambda.
        batch_size: B, images a minibatch.
        entropy: Seed of the minibatches.
    """

    films: Films
    encoder: MeteredEncoder
    head: Head
    penalty: float
    batch_size: int
    entropy: np.random.SeedSequence

    def rows(self, minibatch: int) -> Rows:
        """The films of one minibatch: a draw without replacement that depends on its number only."""
        rng = np.random.default_rng(
            np.random.SeedSequence(
                entropy=self.entropy.entropy, spawn_key=(*self.entropy.spawn_key, minibatch)
            )
        )
        return rng.choice(len(self.films), self.batch_size, replace=False).astype(np.int64)

    def values(self, edits: Tensor, minibatches: Rows) -> tuple[Tensor, Tensor]:
        """L of each edit on its minibatch.

        Images of all edits are packed into calls of the encoder's own block size, so memory does
        not grow with the number of edits.

        Args:
            edits: ``(K, 1, H, W)``.
            minibatches: ``(K,)``.

        Returns:
            Values ``(K,)`` float64 and embeddings ``(K, B, D)`` float32.
        """
        import torch

        rows = np.stack([self.rows(int(number)) for number in minibatches])
        owner = np.repeat(np.arange(len(edits)), self.batch_size)
        flat = rows.reshape(-1)
        parts = []
        for part in _slices(len(flat), self.encoder.spec.block):
            images = self.films.batch(flat[part])
            images = images + edits[torch.from_numpy(owner[part])]
            parts.append(self.encoder.embed(images, "optimize").cpu())
        embeddings = torch.cat(parts).reshape(len(edits), self.batch_size, -1)
        labels = torch.from_numpy(self.films.sensitive[rows])
        entropy = self.head.cross_entropy(embeddings, labels).mean(dim=1)
        return -entropy + self.penalty * edit_norms(edits), embeddings

    def value_and_gradient(self, edit: Tensor, minibatch: int) -> tuple[Tensor, Tensor, Tensor]:
        """L of one edit ``(1, H, W)``, its embeddings ``(B, D)`` and dL/dedit ``(1, H, W)``.

        At the origin, where the norm has no gradient, its subgradient 0 is taken.
        """
        import torch

        rows = self.rows(minibatch)
        total = torch.zeros_like(edit)
        entropies, embeddings = [], []
        for part in _slices(len(rows), self.encoder.spec.block):
            images = self.films.batch(rows[part])
            variable = edit.detach().clone().requires_grad_()
            answer = self.encoder.embed_with_gradient(images + variable, "optimize")
            labels = torch.from_numpy(self.films.sensitive[rows[part]]).to(answer.device)
            entropy = self.head.cross_entropy(answer, labels)
            loss = -entropy.sum() / self.batch_size
            total += torch.autograd.grad(loss, variable)[0]
            entropies.append(entropy.detach().cpu())
            embeddings.append(answer.detach().cpu())
        norm = edit_norms(edit[None])[0]
        if norm > 0:
            total += (self.penalty * edit.double() / norm).float()
        value = -torch.cat(entropies).mean() + self.penalty * norm
        return value, torch.cat(embeddings), total


def edit_norms(edits: Tensor) -> Tensor:
    """Euclidean norms ``(K,)`` float64 of edits ``(K, 1, H, W)``."""
    norms: Tensor = edits.double().flatten(1).norm(dim=1)
    return norms


def _slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
