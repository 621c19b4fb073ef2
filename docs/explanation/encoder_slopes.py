"""An encoder's own gradients on training images, in cosine coefficients; for the scripts here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zobench_plugins.optimizers.probes import ProbesParameters

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.oracle.ledger import Ledger
from zobench.oracle.local_images import LocalImages
from zobench.problem.heads import cell_weights
from zobench.problem.images import Images, load_images, slices
from zobench.problem.spaces import DctSpace
from zobench.registry.discovery import load_registry
from zobench.runs.parts import Parts, make_parts

CHUNK = 32
"""Images of one call of the encoder."""

SIDE = ProbesParameters().side

Rows = NDArray[np.int64]
Embed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Slopes:
    """Films, and edits of them in ``SIDE x SIDE`` frequencies.

    Attributes:
        parts: The encoder, and the dataset of the films.
        films: Training films.
        waves: The space of the coefficients.
    """

    parts: Parts
    films: Images
    waves: DctSpace

    @classmethod
    def of(cls, encoder: str, disease: str, seed: int, cohort: int, images: int) -> Slopes:
        """The first training films of a seed, as an encoder takes them."""
        config = RunConfig(
            optimizer="pgd",
            encoder=encoder,
            disease=disease,
            seed=seed,
            overrides={"dataset": {"cohort": cohort}},
        )
        parts = make_parts(config, load_registry(), Silence())
        _, height, width = parts.encoder.spec.image_shape
        films = load_images(parts.dataset, parts.split.train[:images])
        return cls(parts, films, DctSpace(height, width, SIDE))

    @property
    def zero(self) -> Tensor:
        """No edit."""
        return torch.zeros(SIDE**2, dtype=torch.float64)

    @property
    def everything(self) -> Rows:
        """All rows."""
        return np.arange(len(self.films))

    @property
    def own(self) -> Embed:
        """The encoder itself."""
        return self.parts.encoder.embed

    def by(self, encoder: str) -> Embed:
        """Another encoder, which is given the same images in its own size."""
        config = self.parts.config.changed(encoder=encoder)
        return LocalImages(make_parts(config, load_registry(), Silence()).encoder, Ledger())

    def decode(self, coefficients: Tensor) -> Tensor:
        """Edits ``(K, 1, H, W)``."""
        return self.waves.decode(coefficients.float().reshape(-1, 1, SIDE, SIDE))

    def embed(self, by: Embed, rows: Rows, coefficients: Tensor) -> Tensor:
        """Embeddings ``(n, D)`` of films, each with its own edit, or all with the same one."""
        weights = coefficients.expand(len(rows), -1)
        with torch.no_grad():
            embedded = [
                by(self.films.batch(rows[part]) + self.decode(weights[part])).cpu()
                for part in slices(len(rows), CHUNK)
            ]
        return torch.cat(embedded).double()

    def gradient(
        self, by: Embed, center: Tensor, loss: Callable[[Tensor, slice], Tensor]
    ) -> Tensor:
        """Gradient of the sum of a loss over all films with respect to the coefficients."""
        total = self.zero
        for part in slices(len(self.films), CHUNK):
            variable = center.clone().requires_grad_()
            answer = by(self.films.batch(part) + self.decode(variable)).double()
            (gradient,) = torch.autograd.grad(loss(answer, part), variable)
            total += gradient
        return total

    def labels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Targets of an SA head, and weights that give the cells equal shares."""
        sensitive, label = self.films.sensitive[rows], self.films.label[rows]
        weights = torch.from_numpy(cell_weights(label, sensitive))
        return torch.from_numpy(2.0 * sensitive - 1.0), weights


def cosine(one: Tensor, other: Tensor) -> float:
    """The cosine between two slopes."""
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))
