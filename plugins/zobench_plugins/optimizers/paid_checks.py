"""Checks of edits that are paid for: all edits on the same few images, judged by a refitted head.

The gap of a disease head depends much on the images, so edits are compared on the same ones, as many
of each cell of disease and attribute as of any other. Minibatches that an optimizer has bought anyway
do not replace them: they differ from edit to edit, and follow the bias of the training images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.client import Client
from zobench.problem.heads import cell_weights

from .refitted_heads import LeftOut, left_out_rates

Rows = NDArray[np.int64]

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Disease y and attribute a of each cell."""

HARM_SHARE = 0.5
"""What harm counts beside the errors of an SA head."""


@dataclass(frozen=True)
class Cells:
    """The training images by disease and attribute.

    Attributes:
        label: The disease y, ``(N,)``.
        sensitive: The attribute a, ``(N,)``.
        weights: Weights ``(N,)`` that give the four cells equal shares.
    """

    label: NDArray[np.int64]
    sensitive: NDArray[np.int64]
    weights: Tensor

    @classmethod
    def of(cls, client: Client) -> Cells:
        """The cells of a client's training images."""
        label, sensitive = client.label.numpy(), client.sensitive.numpy()
        return cls(label, sensitive, torch.from_numpy(cell_weights(label, sensitive)))

    @property
    def members(self) -> list[Rows]:
        """Rows of the images of each cell, in the order of :data:`CELLS`."""
        return [np.flatnonzero((self.label == y) & (self.sensitive == a)) for y, a in CELLS]

    def balanced(self, count: int, rng: np.random.Generator) -> Rows:
        """At most about ``count`` rows in random order, as many of each cell as of any other.

        A cell with fewer images gives all of them.
        """
        shares = self._shares(count)
        drawn = [rng.choice(cell, share, replace=False) for cell, share in shares]
        return rng.permutation(np.concatenate(drawn)).astype(np.int64)

    def balanced_count(self, count: int) -> int:
        """The number of rows that :meth:`balanced` gives."""
        return sum(share for _, share in self._shares(count))

    def _shares(self, count: int) -> list[tuple[Rows, int]]:
        """The rows of each cell that has any, and how many of them are drawn."""
        there = [cell for cell in self.members if len(cell)]
        share = max(1, count // len(there))
        return [(cell, min(len(cell), share)) for cell in there]

    def rates(self, embeddings: Tensor, rows: Rows) -> LeftOut | None:
        """What a disease head trained on such embeddings of all training images would do.

        Args:
            embeddings: Embeddings ``(n, D)`` of images with an edit, or clean ones.
            rows: The images, ``(n,)``.

        Returns:
            The rates; ``None`` where a cell has no image among the rows.
        """
        label, sensitive = self.label[rows], self.sensitive[rows]
        weights = torch.from_numpy(cell_weights(label, sensitive)) / self.weights[rows]
        return left_out_rates(embeddings.double(), label, sensitive, weights)

    def targets(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """For an SA head on images ``(n,)``: -1 and 1, and weights that give the cells equal shares."""
        label, sensitive = self.label[rows], self.sensitive[rows]
        weights = torch.from_numpy(cell_weights(label, sensitive))
        return torch.from_numpy(2.0 * sensitive - 1.0), weights

    def better_sign(self, clean: Tensor, both: Tensor, rows: Rows) -> SignCheck | None:
        """Which of an edit and its negative does less harm.

        Args:
            clean: Clean embeddings of the images, ``(n, D)``.
            both: Their embeddings with the edit and with its negative, ``(2, n, D)``.
            rows: The images, ``(n,)``.

        Returns:
            The sign; ``None`` where a cell has no image among the rows.
        """
        without, plus, minus = (self.rates(embedded, rows) for embedded in (clean, *both))
        if without is None or plus is None or minus is None:
            return None
        left, turned = harm(plus, without), harm(minus, without)
        return SignCheck(-1 if turned < left else 1, min(left, turned), harm(without, without))

    def hiding_sign(self, clean: Tensor, both: Tensor, rows: Rows) -> int | None:
        """Which of an edit and its negative hides the attribute better.

        What counts are the errors of a refitted SA head, minus a share of the harm. With few images
        they tell the sign more often than the harm alone does.

        Args:
            clean: Clean embeddings of the images, ``(n, D)``.
            both: Their embeddings with the edit and with its negative, ``(2, n, D)``.
            rows: The images, ``(n,)``.

        Returns:
            1 or -1; 0 where neither is better than no edit; ``None`` where a cell has no image among
            the rows.
        """
        without = self.rates(clean, rows)
        hidden = []
        for embedded in (clean, *both):
            edited, read = self.rates(embedded, rows), self._read(embedded, rows)
            if without is None or edited is None or read is None:
                return None
            hidden.append(read.error - HARM_SHARE * harm(edited, without))
        none, plus, minus = hidden
        if max(plus, minus) <= none:
            return 0
        return -1 if minus > plus else 1

    def _read(self, embeddings: Tensor, rows: Rows) -> LeftOut | None:
        """The rates of a refitted SA head; the labels of the disease take the place of the groups."""
        label, sensitive = self.label[rows], self.sensitive[rows]
        weights = torch.from_numpy(cell_weights(label, sensitive))
        return left_out_rates(embeddings.double(), sensitive, label, weights)


@dataclass(frozen=True)
class SignCheck:
    """An edit or its negative, checked.

    Attributes:
        sign: -1 if the negative does less harm, else 1.
        harm: What is left with this sign.
        without: What is left without an edit.
    """

    sign: int
    harm: float
    without: float


def harm(edited: LeftOut, clean: LeftOut) -> float:
    """The gap plus the errors added to those on clean embeddings, as a share.

    An edit that destroys the embeddings leaves no gap, but many errors.
    """
    return edited.gap + max(0.0, edited.error - clean.error)
