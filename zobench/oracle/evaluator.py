"""Evaluates L(edit) = objective(embeddings of x + edit) + lambda * ||edit||_2 on training images.

With the objective ``dne`` this is Eq. 1 of Jin et al. 2024.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.dataset import Rows
from zobench.contracts.objective import LearningObjective, Objective
from zobench.contracts.purpose import Purpose
from zobench.errors import EncoderError
from zobench.problem.images import Images, slices

from .metered_encoder import MeteredEncoder
from .objective_values import checked_values

if TYPE_CHECKING:
    from torch import Tensor

POINTS = 64
"""Least number of points that are decoded together."""


@dataclass(frozen=True)
class Evaluator:
    """L of edits on training images, with every image booked as ``optimize``.

    Attributes:
        images: The training images.
        encoder: The metered encoder.
        objective: The objective, a function of embeddings and labels.
        penalty: The weight lambda of the norm.
        batch_size: B, the number of images of a minibatch where an ask names no other number.
        entropy: Seed of the minibatches.
        name: The objective's name, for messages.
    """

    images: Images
    encoder: MeteredEncoder
    objective: Objective
    penalty: float
    batch_size: int
    entropy: np.random.SeedSequence
    name: str = "?"

    def rows(self, minibatch: int, images: int | None = None) -> Rows:
        """Row numbers of one minibatch, drawn without replacement.

        Args:
            minibatch: The number of the minibatch; equal numbers give equal rows.
            images: The number of rows; the batch size if ``None``.
        """
        rng = np.random.default_rng(
            np.random.SeedSequence(
                entropy=self.entropy.entropy, spawn_key=(*self.entropy.spawn_key, minibatch)
            )
        )
        count = self.batch_size if images is None else images
        return rng.choice(len(self.images), count, replace=False).astype(np.int64)

    def values(
        self,
        points: Tensor,
        rows: Rows,
        decode: Callable[[Tensor], Tensor],
        *,
        keep_embeddings: bool,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """L of each point on its images.

        The images of consecutive points are packed into full blocks of the encoder, however many
        images a point has. Edits are decoded for a group of points at a time, so memory for edits
        does not grow with the number of points.

        Args:
            points: The points ``(K, *space.shape)``.
            rows: Rows of the training images of each point, ``(K, b)``.
            decode: Decodes points to edits ``(K, 1, H, W)``.
            keep_embeddings: Whether to return the embeddings as well.
            meanwhile: Work that needs no answer; done once no point is read any more, while a GPU
                computes the last embeddings.

        Returns:
            Values ``(K,)`` float64, and embeddings ``(K, b, D)`` float32 or ``None``.
        """
        import torch

        per_point, block = rows.shape[1], self.encoder.spec.block
        fill = math.lcm(per_point, block) // per_point  # points whose images fill whole blocks
        values, embeddings = [], []
        for group in slices(len(points), fill * -(-POINTS // fill)):
            edits, flat = decode(points[group]), rows[group].reshape(-1)
            owner = np.arange(len(edits)).repeat(per_point)
            pending = self.encoder.begin_edited(self.images, flat, edits, owner, Purpose.OPTIMIZE)
            norms = edit_norms(edits)
            if meanwhile is not None and group.stop >= len(points):
                with torch.inference_mode(mode=False):
                    meanwhile()
            embedded = pending.wait().cpu().reshape(len(edits), per_point, -1)
            values.append(self.terms(embedded, rows[group]) + self.penalty * norms)
            if keep_embeddings:
                embeddings.append(embedded)
        return torch.cat(values), torch.cat(embeddings) if keep_embeddings else None

    def terms(self, embeddings: Tensor, rows: Rows) -> Tensor:
        """The objective's values ``(K,)`` of embeddings ``(K, b, D)``, without the norm's term.

        Raises:
            PluginError: The objective gave something else than finite values ``(K,)`` float64.
        """
        labels = self._labels(rows, embeddings)
        return checked_values(self.objective, self.name, embeddings, *labels)

    @property
    def learning(self) -> LearningObjective | None:
        """The objective if it learns from embeddings that were bought, else ``None``."""
        return self.objective if isinstance(self.objective, LearningObjective) else None

    def observe(self, embeddings: Tensor, rows: Rows) -> None:
        """Hands the embeddings of an answered ask to an objective that learns from them."""
        if self.learning is not None:
            self.learning.observe(embeddings, *self._labels(rows, embeddings))

    def _labels(self, rows: Rows, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """The labels a and y of rows ``(K, b)``, on the device of the embeddings."""
        import torch

        a, y = (
            torch.from_numpy(codes[rows]) for codes in (self.images.sensitive, self.images.label)
        )
        return a.to(embeddings.device), y.to(embeddings.device)

    def value_and_gradient(
        self, edit: Tensor, rows: Rows, cotangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """L of one edit ``(1, H, W)``, its embeddings ``(b, D)`` and dL/dedit ``(1, H, W)``.

        At the origin, where the norm has no gradient, its subgradient 0 is taken.

        Args:
            edit: The edit.
            rows: Rows ``(b,)`` of the training images.
            cotangents: Vectors ``(b, D)``; the gradient is then that of the mean of their products with
                the embeddings, and not of L.
        """
        import torch

        size = self.encoder.spec.block
        booked = replace(self.encoder.ledger.of(Purpose.OPTIMIZE))
        while True:
            try:
                return self._value_and_gradient(edit, rows, size, cotangents)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise EncoderError(
                        f"encoder {self.encoder.spec.name} has not enough memory for the gradient of "
                        "one image; choose another --device"
                    ) from error
                self.encoder.ledger.put(Purpose.OPTIMIZE, booked)  # retry with a smaller block
                size = max(1, min(size, len(rows)) // 2)

    def _value_and_gradient(
        self, edit: Tensor, rows: Rows, size: int, cotangents: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Value and gradient, with the graph of at most ``size`` images in memory at a time."""
        import torch

        parts = list(slices(len(rows), size))
        whole, slopes = None, None
        if cotangents is not None:
            slopes = cotangents / len(rows)
        elif len(parts) > 1 and not self.objective.mean_over_images:
            whole, slopes = self._slopes(edit, rows, parts)
        total = torch.zeros_like(edit)
        terms, embeddings = [], []
        for part in parts:
            variable = edit.detach().clone().requires_grad_()
            images = self.images.batch(rows[part]) + variable
            answer = self.encoder.embed_with_gradient(images, Purpose.OPTIMIZE)
            if slopes is None:
                term = self.terms(answer[None], rows[None, part])[0]
                terms.append(term.detach().cpu() * (len(answer) / len(rows)))
                loss = term * (len(answer) / len(rows))
            else:
                loss = (answer * slopes[part].to(answer.device)).sum()
            total += self.encoder.backward(loss, variable)
            embeddings.append(answer.detach().cpu())
        embedded = torch.cat(embeddings)
        norm = edit_norms(edit[None])[0]
        if norm > 0 and cotangents is None:
            total += (self.penalty * edit.double() / norm).float()
        if cotangents is not None:
            whole = self.terms(embedded[None], rows[None])[0].detach()
        term = torch.stack(terms).sum() if whole is None else whole
        return term + self.penalty * norm, embedded, total

    def _slopes(self, edit: Tensor, rows: Rows, parts: list[slice]) -> tuple[Tensor, Tensor]:
        """The objective of a minibatch, and its gradient ``(b, D)`` at the embeddings.

        These embeddings only make the graphs of the parts separate; the images are booked where
        their gradient is computed.
        """
        import torch

        apart = self.encoder.apart()
        chunks = [
            apart.embed_edited(
                self.images, rows[part], edit[None], np.zeros_like(rows[part]), Purpose.OPTIMIZE
            )
            for part in parts
        ]
        embeddings = torch.cat([chunk.cpu() for chunk in chunks]).clone().requires_grad_()
        term = self.terms(embeddings[None], rows[None])[0]
        (slopes,) = torch.autograd.grad(term, embeddings)
        self.encoder.seconds += apart.seconds
        return term.detach(), slopes


def edit_norms(edits: Tensor) -> Tensor:
    """Euclidean norms ``(K,)`` float64 of edits ``(K, 1, H, W)``.

    A row's norm is summed in float32 and the rows in float64, which is exact to 1e-6 of the norm
    and takes a fourth of the time. Where float32 does not hold a square, all is summed in float64.
    """
    import torch

    rows: Tensor = torch.linalg.vector_norm(edits, dim=-1)
    norms: Tensor = torch.linalg.vector_norm(rows.double().flatten(1), dim=1)
    beyond = ~(torch.isfinite(norms) & (norms > 1e-15))
    if bool(beyond.any()):
        norms[beyond] = edits[beyond].double().flatten(1).norm(dim=1)
    return norms
