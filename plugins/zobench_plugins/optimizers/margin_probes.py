"""Margin probes: the slope of the SA head's score, from values of L on single images.

A black box is mostly asked for means over a minibatch. Here each evaluation is on one image
(``Ask.images``), and L of one image is ``-CE + penalty``. The penalty is the same for points of
equal length (nearly, where the space is coarser than the search or clips edits), and the cross
entropy of a logistic head tells the size of its score: ``CE = log(1 + exp(-margin))``, where the
margin is the score, positive where the head is right. L hardly changes on the images that the head
is sure of; their margins do.

The scores of all images react much alike to an edit, but which of the two groups an image belongs
to, and so the sign of its score, is not known at this level of feedback. So several points share an
image. The common slope is found by Bayesian regression, whose prior variance falls with frequency
(Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, Section 2.1). How much it
explains is a quadratic form in the signs, which is maximised by a local search that flips single
signs, the one that gains most first (the one-flip search of Merz and Freisleben, "Greedy and Local
Search Heuristics for Unconstrained Binary Quadratic Programming", 2002). The edit goes along the
slope, to the side on which L falls. All points are around no edit, so asks do not depend on
answers. The budget does not matter, unless it is below one ask; what it has beyond whole asks stays
unspent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.problem.spaces import DctSpace

from .frequencies import spectrum

ENTROPIES = (1e-3, 50.0)
"""Cross entropies that become margins; what is outside counts as the nearest of the two."""

STARTS = 32
"""Latest images whose own slopes the search of the signs begins from."""

TINY = 1e-9
"""Gains up to this share of the largest entry are taken for rounding."""


@dataclass(frozen=True)
class MarginProbesParameters:
    """Hyperparameters of margin probes; a root mean square is in pixel range."""

    side: int = parameter(12, "frequencies searched, down and across", low=1, high=48)
    points: int = parameter(20, "points on each image", low=2, high=4096)
    images: int = parameter(2, "images of an ask", low=1, high=4096)
    memory: int = parameter(80, "images whose points are kept, at most", low=1, high=4096)
    radius: float = parameter(0.035, "root mean square of a point", low=1e-6)
    length: float = parameter(0.018, "root mean square of the edit", low=1e-6)
    smoothness: float = parameter(
        1.5, "how fast the prior variance falls with frequency", low=0, high=3
    )
    corner: float = parameter(6.0, "frequency from which the prior variance falls", low=1)
    noise: float = parameter(
        2.0, "variance of an image's slope, relative to the mean prior variance", low=1e-3
    )


class MarginProbes(Stateful):
    """Points around no edit, several on each image. Recommends the edit along the common slope."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("probes", "values", "asked", "rng")

    def __init__(self, context: OptimizerContext, parameters: MarginProbesParameters) -> None:
        self._p = p = parameters
        self.rng = context.rng
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(p.side, height, width))
        self._root = spectrum(self._waves.side, p.smoothness, p.corner).sqrt()
        self._images = max(1, min(p.images, context.budget // p.points))
        self._points = min(p.points, context.budget)
        count = len(self._root)
        self.probes = torch.empty(0, self._points, count, dtype=torch.float64)
        self.values = torch.empty(0, self._points, dtype=torch.float64)
        self.asked = 0

    @staticmethod
    def paced(parameters: MarginProbesParameters, budget: int) -> bool:
        """Whether the budget decides the points of an ask: only one below a single ask does."""
        return budget < parameters.points * parameters.images

    def ask(self) -> Ask:
        """Points of equal length in smooth directions, on newly drawn images."""
        shape = (self._images, self._points, len(self._root))
        white = torch.from_numpy(self.rng.standard_normal(shape))
        self._drawn = torch.nn.functional.normalize(white * self._root, dim=-1)
        images = self.asked + np.arange(self._images, dtype=np.int64).repeat(self._points)
        return Ask(self._decode(self._p.radius, self._drawn.flatten(0, 1)), images, images=1)

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Adds the points."""
        values = answer.values.double().reshape(self._images, self._points)
        self.values = torch.cat([self.values, values])[-self._p.memory :]
        self.probes = torch.cat([self.probes, self._drawn * self._root])[-self._p.memory :]
        self.asked += self._images

    def recommend(self) -> Tensor:
        """The edit along the slope, which is found here, since no ask depends on it.

        No edit before the first answer.
        """
        direction = torch.nn.functional.normalize(self._root * self._slope(), dim=0)
        return self._decode(self._p.length, direction[None])[0]

    def _slope(self) -> Tensor:
        """The slope of the scores in whitened coordinates, with the sign that L falls along."""
        if not len(self.values):
            return torch.zeros_like(self._root)
        probes = self.probes - self.probes.mean(1, keepdim=True)  # an image's level is not known
        flat = probes.flatten(0, 1)
        precision = flat.T @ flat
        precision.diagonal().add_(self._p.noise * self.probes.square().sum(-1).mean())
        factor = torch.linalg.cholesky(precision)
        # penalty - L = CE, and the largest L of points of equal length is the penalty, nearly
        entropies = (self.values.max() - self.values).clamp(*ENTROPIES)
        own = torch.einsum("gkp,gk->gp", probes, -entropies.expm1().log())
        coefficients = torch.cholesky_solve(own.T, factor)
        slope = coefficients @ best_signs(own @ coefficients)
        rise = torch.cholesky_solve(torch.einsum("gkp,gk->p", probes, self.values)[:, None], factor)
        return -slope if (self._root.square() * slope) @ rise[:, 0] > 0 else slope

    def _decode(self, rms: float, directions: Tensor) -> Tensor:
        """Points ``(K, *space.shape)`` of a root mean square along directions ``(K, P)``."""
        side = self._waves.side
        return self._waves.decode((rms * side * directions).float().reshape(-1, 1, side, side))


def best_signs(form: Tensor) -> Tensor:
    """Signs ``(G,)`` for which ``signs @ form @ signs`` is the largest that is found.

    ``form`` is ``(G, G)``, symmetric. The search begins from the signs of each of the last rows.
    From each beginning, the sign whose flip gains most is flipped, until no flip gains.
    """
    pairs = form - form.diagonal().diag()
    signs = torch.where(form[:, -STARTS:] < 0, -1.0, 1.0).to(form)
    pulls, rounding = pairs @ signs, TINY * pairs.abs().max()
    while True:
        gains, flipped = (-signs * pulls).max(0)
        gaining = (gains > rounding).nonzero()[:, 0]
        if not len(gaining):
            return signs[:, (signs * (pairs @ signs)).sum(0).argmax()]
        flipped = flipped[gaining]
        pulls[:, gaining] -= 2 * pairs[flipped].T * signs[flipped, gaining]
        signs[flipped, gaining] *= -1
