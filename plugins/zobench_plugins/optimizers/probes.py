"""Probes: the direction that an encoder reacts to most, then the slope of a refitted head's error.

The client of an embedding API knows the clean embedding of every training image. One image sent
with its own small smooth edit therefore measures a slope of its embedding, and a Gaussian process
over the Jacobians of all images (:mod:`.jacobian_field`) makes the most of such probes.

1. Probes of single images around no edit. The edit is the direction along which the mean embedding
   moves fastest, the first singular vector of the mean Jacobian, as far as moves the embeddings by a
   given share of their spread. All outputs tell of this direction, so it is found in fewer queries
   than the slope of one head.
2. One check, at a number of images sent with the edit and with its negative: that sign is kept with
   which a disease head trained anew puts the groups less far apart.
3. Pairs of opposite probes around the edit. An SA head is refitted on the embeddings bought last, and
   the edit takes short steps along the slope of its squared error. The objective of the run is not
   used: it is lowered by shifts that a refitted head undoes.

Kin: query reuse (ReLIZO, NeurIPS 2024), derivative-free Gauss-Newton (Cartis and Roberts 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import PluginError
from zobench.problem.heads import cell_weights
from zobench.problem.spaces import DctSpace

from .frequencies import spectrum
from .jacobian_field import JacobianField
from .refitted_heads import left_out_gap, residuals

POWER_STEPS = 30
"""Steps of the power iteration for the first singular vector."""

SMOOTHNESS = 1.5
"""How fast the prior variance falls with the squared frequency."""


@dataclass(frozen=True)
class ProbesParameters:
    """Hyperparameters of probes."""

    side: int = parameter(28, "frequencies of the edit, down and across", low=1, high=64)
    coarse: int = parameter(12, "frequencies of probes around no edit", low=1, high=64)
    batch: int = parameter(32, "images of an ask around no edit", low=1, high=10_000)
    first: int = parameter(1024, "queries around no edit, the check not counted", low=1)
    radius: float = parameter(0.02, "root mean square of a probe around no edit", low=1e-6)
    reach: float = parameter(
        0.85, "shift of the mean embedding by the edit, relative to their spread", low=1e-6
    )
    longest: float = parameter(0.02, "root mean square of the first edit, at most", low=1e-6)
    check_after: int = parameter(320, "queries before the check of the sign", low=1)
    check: int = parameter(96, "images of the check, each sent twice", low=8, high=100_000)
    pairs: int = parameter(256, "pairs of probes of an ask around the edit", low=1, high=10_000)
    narrow: float = parameter(0.005, "root mean square of a probe around the edit", low=1e-6)
    stride: float = parameter(
        0.0017,
        "root mean square of the first step around the edit; step t has 1 / sqrt(t) of it",
        low=0,
    )
    window: int = parameter(1024, "pairs that a step looks back on", low=2, high=10_000)
    corner: float = parameter(6.0, "frequency from which the prior falls, around no edit", low=1)
    later: float = parameter(12.0, "frequency from which the prior falls, around the edit", low=1)
    noise: float = parameter(
        1.0, "variance of a probe's residual, relative to that of its effect", low=1e-6
    )


class Probes(Stateful):
    """Single probes, a check, then pairs. Recommends the edit that it is at."""

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = (
        *("edit", "stage", "spent", "checked", "steps"),
        *("probes", "changes", "bought", "rows", "rng"),
    )

    def __init__(self, context: OptimizerContext, parameters: ProbesParameters) -> None:
        if context.client is None:
            raise PluginError("probes needs the client data of the level embeddings")
        self._p, client = parameters, context.client
        self.rng = context.rng
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(parameters.side, height, width))
        self._clean = client.clean.double()
        self._spread = float(self._clean.var(0).sum().sqrt())
        self._label, self._sensitive = client.label.numpy(), client.sensitive.numpy()
        self._cell_weights = torch.from_numpy(cell_weights(self._label, self._sensitive))
        size = self._waves.side
        coarse = spectrum(size, SMOOTHNESS, parameters.corner).reshape(size, size)
        coarse[parameters.coarse :] = coarse[:, parameters.coarse :] = 0.0
        priors = coarse.flatten(), spectrum(size, SMOOTHNESS, parameters.later)
        self._first, self._later = (
            JacobianField.of(self._clean, prior, parameters.noise) for prior in priors
        )
        self._batch = min(parameters.batch, len(client), context.budget)
        self.stage = "single"
        self.spent = self.checked = self.steps = 0
        self.edit = torch.zeros(size**2, dtype=torch.float64)
        self.probes = torch.empty(0, size**2)
        self.changes = self.bought = torch.empty(0, client.clean.shape[1])
        self.rows = torch.empty(0, dtype=torch.int64)

    def ask(self) -> Ask:
        """Single probes, the check of the sign, or pairs."""
        if self.stage == "single":
            if not self.checked and self.spent >= self._p.check_after:
                self.edit = self._farthest()
                rows = self._balanced(self._p.check)
                both = self._decode(torch.stack([self.edit, -self.edit]))
                return Ask(both, rows=np.stack([rows, rows]), want="embeddings")
            rows = self.rng.choice(len(self._clean), (self._batch, 1), replace=False)
            self._drawn = self._directions(self._first.prior, len(rows), self._p.radius)
            return Ask(self._decode(self._drawn), rows=rows, want="embeddings")
        half = self._balanced(self._p.pairs)
        self._drawn = self._directions(self._later.prior, len(half), self._p.narrow)
        points = torch.cat([self.edit + self._drawn, self.edit - self._drawn])
        rows = np.concatenate([half, half])[:, None]
        return Ask(self._decode(points), rows=rows, want="embeddings")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Keeps the probes, and moves the edit."""
        assert answer.embeddings is not None
        assert answer.rows is not None
        embeddings, rows = answer.embeddings.double(), answer.rows
        if rows.shape[1] > 1:
            self._choose_sign(embeddings, rows[0])
        elif self.stage == "single":
            self.spent += len(rows)
            self._keep(embeddings[:, 0] - self._clean[rows[:, 0]], embeddings[:, 0], rows[:, 0])
            if self.checked and self.spent >= self._p.first:
                self.edit = self._farthest()
                self.stage = "pairs"
                self.probes, self.changes = self.probes[:0], self.changes[:0]
                self.bought, self.rows = self.bought[:0], self.rows[:0]
        else:
            plus, minus = embeddings[:, 0].chunk(2)
            self._keep((plus - minus) / 2.0, (plus + minus) / 2.0, rows[: len(plus), 0])
            self._step()

    def recommend(self) -> Tensor:
        """The edit; around no edit it is computed here, since an ask does not depend on it."""
        edit = self._farthest() if self.stage == "single" else self.edit
        return self._decode(edit[None])[0]

    def _farthest(self) -> Tensor:
        """The edit along which the mean embedding moves fastest: the first singular vector of J.

        Its sign is that of the last edit that was kept; before the check, the largest coefficient is
        positive.
        """
        if not len(self.rows):
            return self.edit
        probes, changes = self.probes.double(), self.changes.double()
        jacobian = self._first.mean(probes, self.rows.numpy(), changes)
        direction = jacobian[:, jacobian.norm(dim=0).argmax()]
        for _ in range(POWER_STEPS):
            direction = jacobian @ (jacobian.T @ direction)
            direction = direction / direction.norm().clamp_min(1e-300)
        speed = float((jacobian.T @ direction).norm())
        if speed == 0:
            return self.edit
        reach = self._p.reach * self._spread / speed
        length = min(reach, self._length(self._p.longest))
        known = direction @ self.edit if self.checked else direction[direction.abs().argmax()]
        return direction * (-length if float(known) < 0 else length)

    def _choose_sign(self, embeddings: Tensor, rows: NDArray[np.int64]) -> None:
        label, sensitive = self._label[rows], self._sensitive[rows]
        balanced = torch.from_numpy(cell_weights(label, sensitive))
        weights = balanced / self._cell_weights[rows]
        weights = weights / weights.mean()
        gaps = [left_out_gap(each, label, sensitive, weights) for each in embeddings]
        if gaps[1] < gaps[0]:
            self.edit = -self.edit
        self.checked = 1

    def _step(self) -> None:
        """One step along the slope of the squared error of an SA head refitted on what was bought."""
        rows, probes = self.rows.numpy(), self.probes.double()
        target = torch.from_numpy(2.0 * self._sensitive[rows] - 1.0)
        weights = torch.from_numpy(cell_weights(self._label[rows], self._sensitive[rows]))
        head, left = residuals(self.bought.double(), target, weights)
        slope = -self._later.slope(probes, rows, self.changes.double() @ head, left)
        size = slope.norm()
        self.steps += 1
        if size > 0:
            stride = self._length(self._p.stride) / math.sqrt(self.steps)
            self.edit = self.edit + stride * slope / size

    def _keep(self, changes: Tensor, bought: Tensor, rows: NDArray[np.int64]) -> None:
        newest = slice(-self._p.window, None)
        self.probes = torch.cat([self.probes, self._drawn.float()])[newest]
        self.changes = torch.cat([self.changes, changes.float()])[newest]
        self.bought = torch.cat([self.bought, bought.float()])[newest]
        self.rows = torch.cat([self.rows, torch.from_numpy(rows)])[newest]

    def _balanced(self, count: int) -> NDArray[np.int64]:
        """About ``count`` different rows, as many of each cell of disease and attribute as it has."""
        cells = 2 * self._label + self._sensitive
        chosen = []
        for cell in np.unique(cells):
            members = np.flatnonzero(cells == cell)
            each = min(len(members), max(1, count // len(np.unique(cells))))
            chosen.append(self.rng.choice(members, each, replace=False))
        return np.concatenate(chosen).astype(np.int64)

    def _directions(self, prior: Tensor, count: int, rms: float) -> Tensor:
        """Changes of the coefficients ``(count, P)`` of equal length, drawn from the prior."""
        white = torch.from_numpy(self.rng.standard_normal((count, len(prior))))
        return self._length(rms) * torch.nn.functional.normalize(white * prior.sqrt())

    def _length(self, rms: float) -> float:
        """Norm of the coefficients of an edit with the given root mean square."""
        return rms * self._waves.side

    def _decode(self, coefficients: Tensor) -> Tensor:
        """Points ``(K, *space.shape)``."""
        side = self._waves.side
        return self._waves.decode(coefficients.float().reshape(-1, 1, side, side))
