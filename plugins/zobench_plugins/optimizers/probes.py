"""Probes: the direction that an encoder reacts to most, then the slope of a refitted head's error.

The client of an embedding API knows the clean embedding of every training image. One image sent
with its own small smooth edit therefore measures a slope of its embedding. A Gaussian process over
the Jacobians of all images (:mod:`.jacobian_field`) joins such probes. The search has three stages:

1. ``single``: probes of single images around no edit. The edit is the direction along which the mean
   embedding moves fastest, the first singular vector of the mean Jacobian. Every embedding number
   contributes to this estimate, so it takes fewer queries than the slope of one head.
2. ``check``: a few images are sent with the edit and with its negative. The check keeps the sign with
   the smaller equalised-odds gap of a refitted disease head, and then goes on with single probes. If
   the clean embeddings have the smallest gap, stage 3 begins with no edit.
3. ``pairs``: opposite probes around the edit. An SA head is refitted on the embeddings of the last
   pairs, and the edit takes short steps along the slope of that head's squared error.

The objective of the run is not used: it is lowered by shifts that a refitted head undoes. The search is
in the low frequencies of the points' grid, so it is for the spaces ``pixel`` and ``lowres:<k>``, whose
grids are pictures.
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
from zobench.errors import ConfigError, PluginError
from zobench.problem.spaces import DctSpace

from .frequencies import directions, spectrum
from .jacobian_field import JacobianField
from .paid_checks import Cells
from .refitted_heads import residuals

POWER_STEPS = 30
"""Steps of the power iteration for the first singular vector."""

SMOOTHNESS = 1.5
"""How fast the prior variance falls with the squared frequency."""

FEWEST_PAIRS = 8
"""Pairs of the last ask, at least; with fewer left the budget's rest stays unspent."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ProbesParameters:
    """Hyperparameters of probes; a root mean square is that of the points, in pixel range."""

    side: int = parameter(28, "frequencies of the edit, down and across", low=1, high=64)
    coarse: int = parameter(12, "frequencies of single probes, down and across", low=1, high=64)
    batch: int = parameter(32, "single probes of an ask", low=1, high=10_000)
    singles: int = parameter(1024, "single probes in all", low=1, high=4096)
    radius: float = parameter(0.02, "root mean square of a single probe", low=1e-6)
    reach: float = parameter(
        0.85, "estimated shift of the mean embedding, relative to the clean spread", low=1e-6
    )
    first_length: float = parameter(
        0.02, "root mean square of the edit before the pairs, at most", low=1e-6
    )
    check_after: int = parameter(320, "single probes before the check", low=1)
    check_images: int = parameter(96, "images of the check, each sent twice", low=8, high=10_000)
    pairs: int = parameter(256, "pairs of an ask", low=FEWEST_PAIRS, high=4096)
    pair_radius: float = parameter(0.005, "root mean square of half a pair's difference", low=1e-6)
    window: int = parameter(
        1000, "pairs that a step looks back on, or those of one ask", low=1, high=4096
    )
    stride: float = parameter(
        0.0017, "root mean square of the first step; step t has 1 / sqrt(t) of it", low=0
    )
    length: float = parameter(0.03, "root mean square of the edit, at most", low=1e-6)
    corner: float = parameter(6.0, "frequency from which the prior of single probes falls", low=1)
    pair_corner: float = parameter(12.0, "frequency from which the prior of pairs falls", low=1)
    noise: float = parameter(
        1.0, "variance of a probe's residual, relative to that of its effect", low=1e-4
    )

    def __post_init__(self) -> None:
        """Refuses a first edit that is longer than any edit may be, before an image is sent."""
        if self.first_length > self.length:
            raise ConfigError(
                f"first_length is {self.first_length:g}, but must be at most length, {self.length:g}"
            )


class Probes(Stateful):
    """Single probes, a check, then pairs. Recommends the current edit."""

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = (
        *("edit", "stage", "spent", "singles", "checked", "steps"),
        *("probes", "changes", "bought", "rows", "rng"),
    )

    def __init__(self, context: OptimizerContext, parameters: ProbesParameters) -> None:
        if context.client is None:
            raise PluginError("probes needs the client data of the level embeddings")
        p, client = parameters, context.client
        self._p, self._budget, self.rng = p, context.budget, context.rng
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(p.side, height, width))
        self._coarse = DctSpace(height, width, min(p.coarse, self._waves.side))
        self._clean = client.clean
        self._spread = float(client.clean.var(0).double().sum().sqrt())
        self._cells = Cells.of(client)
        self._single_field, self._pair_field = (
            JacobianField.of(self._clean, spectrum(waves.side, SMOOTHNESS, corner), p.noise)
            for waves, corner in ((self._coarse, p.corner), (self._waves, p.pair_corner))
        )
        # a smaller budget gets an earlier check, and one too small for any gets single probes only
        affordable = context.budget - 2 * p.check_images
        self._batch = min(p.batch, len(self._clean))
        whole = affordable // self._batch * self._batch
        self._check_after = min(p.check_after, p.singles, whole)
        self._checks = affordable >= self._batch
        self.stage = "single"
        self.spent = self.singles = self.checked = self.steps = 0
        self.edit = torch.zeros(self._waves.side**2, dtype=torch.float64)
        self.probes = torch.empty(0, self._coarse.side**2)
        self.changes = self.bought = torch.empty(0, client.clean.shape[1])
        self.rows = torch.empty(0, dtype=torch.int64)

    @staticmethod
    def paced(parameters: ProbesParameters, budget: int) -> bool:
        """Whether the budget decides when the check comes: only one that it hardly fits in does."""
        p = parameters
        return budget < min(p.check_after, p.singles) + p.batch + 2 * p.check_images

    def begin_at(self, edit: Tensor) -> None:
        """Goes on with pairs of probes around an edit that was found otherwise and has been checked.

        Args:
            edit: Its coefficients ``(side**2,)``.
        """
        self._begin_pairs(edit)
        self.checked = 1

    def ask(self) -> Ask:
        """Single probes, the check of the sign, or pairs."""
        if self.stage == "check":
            rows = self._cells.balanced(self._p.check_images, self.rng)
            both = _decoded(self._waves, torch.stack([self.edit, -self.edit]))
            return Ask(both, rows=np.stack([rows, rows]), want="embeddings")
        if self.stage == "single":
            count = min(self._batch, max(1, self._left))
            rows = self.rng.choice(len(self._clean), (count, 1), replace=False)
            self._drawn = self._directions(self._single_field, count, self._p.radius)
            return Ask(_decoded(self._coarse, self._drawn), rows=rows, want="embeddings")
        count = max(FEWEST_PAIRS, min(self._p.pairs, self._left // 2))
        half = self._cells.balanced(count, self.rng)
        self._drawn = self._directions(self._pair_field, len(half), self._p.pair_radius)
        points = torch.cat([self.edit + self._drawn, self.edit - self._drawn])
        rows = np.concatenate([half, half])[:, None]
        return Ask(_decoded(self._waves, points), rows=rows, want="embeddings")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Keeps the probes, and moves the edit."""
        assert answer.embeddings is not None
        assert answer.rows is not None
        embeddings, rows = answer.embeddings, answer.rows
        self.spent += rows.size
        if self.stage == "check":
            self.stage, self.checked = "single", 1
            self._judge(embeddings, rows[0])
        elif self.stage == "single":
            changes = embeddings[:, 0] - self._clean[rows[:, 0]]
            self._keep(changes, changes[:0], rows[:, 0])
            self.singles += len(rows)
        else:
            plus, minus = embeddings[:, 0].chunk(2)
            self._keep((plus - minus) / 2.0, (plus + minus) / 2.0, rows[: len(plus), 0])
            self._step()
        due = self._checks and not self.checked and self.singles >= self._check_after
        if self.stage == "single" and due:
            self.edit, self.stage = self._first_edit(), "check"
        elif self.stage == "single" and self.checked and self.singles >= self._p.singles:
            self._begin_pairs(self._first_edit())

    def recommend(self) -> Tensor:
        """The edit; while single probes go on it is computed here, since no ask depends on it.

        Before the check its sign is arbitrary: the largest coefficient is positive.
        """
        edit = self._first_edit() if self.stage == "single" else self.edit
        return _decoded(self._waves, edit[None])[0]

    @property
    def _left(self) -> int:
        """Queries of the budget that are not spent."""
        return self._budget - self.spent

    def _first_edit(self) -> Tensor:
        """The edit along which the mean embedding moves fastest: the first singular vector of J.

        Its length is chosen so that the mean embedding shifts by ``reach`` times the spread of the
        clean embeddings, as far as the posterior mean of J tells, which is less than the truth
        while probes are few. Its sign is that of the edit that was checked.
        """
        if not len(self.rows):
            return self.edit
        jacobian = self._single_field.mean(self.probes, self.rows.numpy(), self.changes)
        direction = jacobian[:, jacobian.norm(dim=0).argmax()]
        for _ in range(POWER_STEPS):
            direction = jacobian @ (jacobian.T @ direction)
            direction = direction / direction.norm().clamp_min(1e-300)
        speed = float((jacobian.T @ direction).norm())
        if speed == 0:
            return self.edit
        longest = _length(self._coarse, self._p.first_length)
        edit = self._refined(direction * min(self._p.reach * self._spread / speed, longest))
        signed = edit @ self.edit if self.checked else edit[edit.abs().argmax()]
        return -edit if float(signed) < 0 else edit

    def _begin_pairs(self, edit: Tensor) -> None:
        self.edit, self.stage = edit.clone(), "pairs"
        self.probes = torch.empty(0, self._waves.side**2)
        self.changes, self.rows = self.changes[:0], self.rows[:0]

    def _judge(self, embeddings: Tensor, rows: Rows) -> None:
        """Turns the edit round if its negative does less harm; no edit may do the least."""
        found = self._cells.better_sign(self._clean[rows], embeddings, rows)
        if found is None:
            return  # a cell of disease and attribute has no training image
        self.edit = found.sign * self.edit
        if found.harm >= found.without:
            self._begin_pairs(torch.zeros_like(self.edit))

    def _step(self) -> None:
        """One step along the slope of the squared error of an SA head refitted on the last pairs."""
        rows = self.rows.numpy()
        head, residual = residuals(self.bought.double(), *self._cells.targets(rows))
        scores = self.changes.double() @ head
        slope = -self._pair_field.slope(self.probes, rows, scores, residual)
        size = slope.norm()
        self.steps += 1
        if size > 0:
            stride = _length(self._waves, self._p.stride) / math.sqrt(self.steps)
            moved = self.edit + stride * slope / size
            limit = _length(self._waves, self._p.length)
            self.edit = moved * min(1.0, limit / max(float(moved.norm()), 1e-300))

    def _keep(self, changes: Tensor, bought: Tensor, rows: Rows) -> None:
        """Adds probes; of pairs only the last ``window`` are kept, or those of one ask."""
        first = 0
        if self.stage == "pairs":
            first = max(0, len(self.rows) + len(rows) - max(self._p.window, len(rows)))
        self.probes = torch.cat([self.probes, self._drawn.float()])[first:]
        self.changes = torch.cat([self.changes, changes])[first:]
        self.bought = torch.cat([self.bought, bought])[first:]
        self.rows = torch.cat([self.rows, torch.from_numpy(rows)])[first:]

    def _directions(self, field: JacobianField, count: int, rms: float) -> Tensor:
        """Changes of the coefficients ``(count, P)`` of equal length, drawn from a field's prior."""
        return directions(field.prior, count, rms, self.rng)

    def _refined(self, coefficients: Tensor) -> Tensor:
        """The edit with these coarse coefficients, as coefficients of all frequencies."""
        fine, coarse = self._waves.side, self._coarse.side
        edit = torch.zeros(fine, fine, dtype=torch.float64)
        edit[:coarse, :coarse] = fine / coarse * coefficients.reshape(coarse, coarse)
        return edit.flatten()


def _length(waves: DctSpace, rms: float) -> float:
    """Norm of the coefficients of an edit with the given root mean square."""
    return rms * waves.side


def _decoded(waves: DctSpace, coefficients: Tensor) -> Tensor:
    """Points ``(K, *space.shape)`` of coefficients ``(K, P)``."""
    return waves.decode(coefficients.float().reshape(-1, 1, waves.side, waves.side))
