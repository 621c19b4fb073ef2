"""L(edit) = -mean CE(a_i, g(phi(x_i + edit))) + lambda * ||edit||_2 (Jin et al. 2024, Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.dataset import Rows
from zobench.contracts.purpose import Purpose
from zobench.errors import EncoderError
from zobench.problem.heads import Head
from zobench.problem.images import Images, slices

from .metered_encoder import MeteredEncoder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Objective:
    """The objective on minibatches of training images.

    Attributes:
        images: The images that minibatches are drawn from.
        encoder: The metered encoder.
        head: The frozen SA classifier g, trained on clean embeddings.
        penalty: The weight lambda of the norm.
        batch_size: B, the number of images per minibatch.
        entropy: Seed of the minibatches.
    """

    images: Images
    encoder: MeteredEncoder
    head: Head
    penalty: float
    batch_size: int
    entropy: np.random.SeedSequence

    def rows(self, minibatch: int) -> Rows:
        """Row numbers of one minibatch, drawn without replacement; only its number matters."""
        rng = np.random.default_rng(
            np.random.SeedSequence(
                entropy=self.entropy.entropy, spawn_key=(*self.entropy.spawn_key, minibatch)
            )
        )
        return rng.choice(len(self.images), self.batch_size, replace=False).astype(np.int64)

    def values(
        self, edits: Tensor, minibatches: Rows, *, keep_embeddings: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """L of each edit on its minibatch.

        Images of all edits are packed into calls of the encoder's own block size and reduced to
        their cross-entropies at once, so memory does not grow with the number of edits.

        Args:
            edits: The edits ``(K, 1, H, W)``.
            minibatches: The minibatch number of each edit, ``(K,)``.
            keep_embeddings: Whether to return the embeddings as well.

        Returns:
            Values ``(K,)`` float64, and embeddings ``(K, B, D)`` float32 or ``None``.
        """
        import torch

        shape = (len(edits), self.batch_size)
        rows = np.concatenate([self.rows(int(number)) for number in minibatches])
        owner = torch.arange(len(edits)).repeat_interleave(self.batch_size)
        entropies, kept = [], []
        for part in slices(len(rows), self.encoder.spec.block):
            images = self.images.batch(rows[part]) + edits[owner[part]]
            embeddings = self.encoder.embed(images, Purpose.OPTIMIZE).cpu()
            labels = torch.from_numpy(self.images.sensitive[rows[part]])
            entropies.append(self.head.cross_entropy(embeddings, labels))
            if keep_embeddings:
                kept.append(embeddings)
        entropy = torch.cat(entropies).reshape(shape).mean(dim=1)
        found = torch.cat(kept).reshape(*shape, -1) if keep_embeddings else None
        return -entropy + self.penalty * edit_norms(edits), found

    def value_and_gradient(self, edit: Tensor, minibatch: int) -> tuple[Tensor, Tensor, Tensor]:
        """L of one edit ``(1, H, W)``, its embeddings ``(B, D)`` and dL/dedit ``(1, H, W)``.

        At the origin, where the norm has no gradient, its subgradient 0 is taken.
        """
        import torch

        rows = self.rows(minibatch)
        size = self.encoder.spec.block
        booked = replace(self.encoder.ledger.of(Purpose.OPTIMIZE))
        while True:
            try:
                return self._value_and_gradient(edit, rows, size)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise EncoderError(
                        f"encoder {self.encoder.spec.name} has not enough memory for the gradient of "
                        "one image; choose another --device"
                    ) from error
                self.encoder.ledger.put(Purpose.OPTIMIZE, booked)  # retry with a smaller block
                size = max(1, min(size, len(rows)) // 2)

    def _value_and_gradient(
        self, edit: Tensor, rows: Rows, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Value and gradient, with the graph of at most ``size`` images in memory at a time."""
        import torch

        total = torch.zeros_like(edit)
        entropies, embeddings = [], []
        for part in slices(len(rows), size):
            variable = edit.detach().clone().requires_grad_()
            images = self.images.batch(rows[part]) + variable
            answer = self.encoder.embed_with_gradient(images, Purpose.OPTIMIZE)
            labels = torch.from_numpy(self.images.sensitive[rows[part]]).to(answer.device)
            entropy = self.head.cross_entropy(answer, labels)
            total += self.encoder.backward(-entropy.sum() / self.batch_size, variable)
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
